// Package check judges a rendered set of objects before anything of it is written.
//
// In: objects, and what the cluster knows of their kinds. Out: Passed, the only thing that the apply
// stage takes, or one error that names every finding. It never writes to a cluster.
package check
