// Package settle decides what follows: whether Git's wish is tried, held or frozen, and whether a
// release is good, is looked at again, or is undone.
//
// In: the book of a unit's releases, what Git wants, what was seen in the cluster, and the time. Out:
// a decision. Every function is pure: it reads no clock, reaches nothing and changes nothing, so that
// a decision can be tested as a table and made again after a crash (docs: rollback and hold).
package settle
