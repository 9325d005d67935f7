// Package trouble sees why the Pods of a workload do not come up: an image that nobody can pull, a
// container that crashes again and again, a quota or a policy that refuses the Pods.
//
// In: one watch of Pods for a cluster, and while somebody needs them, one of ReplicaSets (metadata
// only) and one of the Events that tell of refused Pods. Out: the Finding on a workload, from memory,
// and a call when one may have changed.
//
// A Pod that is well leaves nothing behind; what stays is a compact record of each that is not. Only
// the Pods of a workload's newest generation count. The package never polls, never sends a request
// for one object, and never says that a workload is well: that is for its own status to say.
package trouble
