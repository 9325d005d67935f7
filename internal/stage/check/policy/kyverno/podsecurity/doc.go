// Package podsecurity judges pods and pod controllers by the Pod Security Standards, with the exclusions
// that Kyverno's podSecurity rules and exceptions allow.
//
// In: an object, a level, a version, exclusions. Out: what is forbidden, in the words of Kubernetes' own
// checks, which decide. An exclusion is applied by putting harmless values in the place of what is excluded
// before the checks of that control look.
package podsecurity
