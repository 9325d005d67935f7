// Package archive opens artifacts that somebody else made: it fetches a gzipped tar archive over
// HTTP, verifies its digest before anything reads it, and turns it into a stored tree.
//
// In: an artifact's address, digest and revision, as the status of a source shows them. Out: a tree
// from the store, without any request where the store has it already. The package never trusts a
// name, a size or a type in the archive, and it writes nowhere but into the store.
package archive
