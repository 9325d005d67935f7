// Package git finds out what a remote Git repository holds, and reads the files of a commit.
//
// In: a Request with an address, a reference and credentials. Out: a revision string and, where it
// is new to the caller, the commit's files, read from Git's objects. Each remote has a bare
// repository in the cache folder, shared by all requests with the same address and credentials, so a
// new commit costs what changed in it and an unchanged reference costs one request.
//
// A repository is hostile input. There is no checkout, no hook and no configuration from it; names
// that mean something to a file system or to Git are refused; symbolic links are left out, as Flux's
// artifacts have none; every size has a limit, and every wait ends with the request's timeout. No
// credential reaches the disk, an error, or a host other than the one that it is for. The package
// never executes a process and never writes outside its cache folder.
package git
