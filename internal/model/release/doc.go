// Package release is the word for one attempt to bring a unit to a fingerprint, and for the book of
// a unit's releases, from which everything follows that is decided about the next one.
//
// In: what was begun and how it ended. Out: which release the cluster is on, which one was good last,
// and whether Git's wish is held. The package keeps nothing and reaches nothing.
package release
