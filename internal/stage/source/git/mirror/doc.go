// Package mirror keeps bare Git repositories on disk, one for each remote and credentials.
//
// In: the address of a remote with what gives access to it, and packs. Out: leases, with which the
// objects can be read while others fetch. A damaged or overgrown repository is replaced by a new
// generation; readers of the old one stay undisturbed. It never interprets what a repository holds,
// and no credential reaches the disk, not even as a digest that could be tested against guesses.
package mirror
