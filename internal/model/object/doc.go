// Package object is the word for one Kubernetes object that a unit wants or owns: how it is named
// (Ref), what is wanted of it (Object), in which order a set of them is written, and what was done
// to each (Change). It reaches no cluster and no disk.
package object
