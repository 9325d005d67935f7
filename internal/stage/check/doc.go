// Package check judges a rendered set of objects before anything of it is written.
//
// In: a Set (objects of one unit, what is known of the cluster and of what was there before) and the
// judges that look at it. Out: Passed, the only thing that the apply stage takes, with what is told of it,
// or one error that names every finding of all judges at once. It never writes to a cluster.
//
// A judge is a Judge: package identity of objects is here, schemas, policies and the rest are in packages
// of their own and know nothing of each other.
package check
