// Package live keeps at hand what policies a cluster has, and what its namespaces are labelled: by watches,
// one for each kind that the cluster serves.
//
// In: a cluster. Out: its policies as objects, with a version that changes when they do. It never writes and
// asks for nothing twice.
package live
