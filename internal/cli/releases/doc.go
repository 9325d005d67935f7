// Package releases reads the releases of a unit from a cluster, and says in which objects and fields
// two of them differ. Values of Secrets are never shown.
package releases
