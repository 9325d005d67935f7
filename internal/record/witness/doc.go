// Package witness remembers who asked for what, as the API server authenticated him.
//
// In: what an admission webhook was shown: a resource, an act and a user. Out: the user of an act, for
// the record. Nothing is kept beyond the process, and not for ever: an act that nobody witnessed is
// recorded as its client claims. It authenticates nobody by itself.
package witness
