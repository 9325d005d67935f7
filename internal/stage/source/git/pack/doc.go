// Package pack keeps Git objects in pack files on disk, in Git's own format.
//
// In: a pack as a remote sends it, which is hostile until every byte of it was counted, inflated
// and hashed. Out: objects by their hash, verified again on each read, because a disk is not to be
// trusted for ever either. It never talks to a network, never writes outside the folder that it was
// given, and never holds more of a pack in memory than its limits allow.
//
// go-git has a parser of its own. It holds each object of a pack as a whole in memory, however large
// it says it is, and the bases of a delta chain all at a time, so one small pack can exhaust the
// memory of the process. Indexing is therefore done here, with a budget for everything; the formats
// of the index file and of the objects are go-git's.
package pack
