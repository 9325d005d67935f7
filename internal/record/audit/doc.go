// Package audit keeps what happened in a log that can only grow, and whose every change shows.
//
// In: entries of the record, and a store (package database). Out: records with numbers, from 1 on,
// that are durable when Record returns; checkpoints, which are signed and vouch for all records up to
// one; exports; and the judgement whether a log or an export is whole.
//
// The records are the leaves of a Merkle tree (RFC 6962, golang.org/x/mod/sumdb/tlog). Each record is
// kept with the root of the tree that ends in it, so the first one that is not what was written is
// known by its number. Checkpoints (C2SP tlog-checkpoint, signed notes of golang.org/x/mod/sumdb/note)
// say which root is the right one, to whoever can rewrite the whole store too, and anchors keep the
// last one elsewhere.
//
// The package never changes or removes a record but by the retention that it was told, and then it
// keeps the hashes. It signs nothing that does not grow out of what it signed before.
package audit
