// Package phase knows hooks: objects that are applied at certain moments of a release, and are no part
// of what a unit keeps in the cluster.
//
// In: objects with Helm's annotations. Out: which of them run at a moment, in which order, and when each
// is deleted. The package writes nothing and waits for nothing: the pipeline does.
package phase
