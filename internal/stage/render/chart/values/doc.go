// Package values puts the values of a release together, as Flux does: those of ConfigMaps and Secrets in
// the order in which they are named, then the release's own, then single values at target paths, which
// beat everything.
//
// In: what was read of each reference, and the release's own values. Out: one map, its digest as Flux
// writes it (config digest), and the values that came from Secrets, so that they can be kept out of
// messages. It reads no cluster: whoever calls it has read the references.
package values
