// Package follow keeps single objects at hand that others refer to by name: ConfigMaps and Secrets
// with values, kubeconfigs, dependencies. Each is watched once, however many need it.
//
// In: references. Out: the objects as they are now, from memory, and a call when one changes. It
// never writes, and it never logs or prints an object: many are Secrets.
package follow
