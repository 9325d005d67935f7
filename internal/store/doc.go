// Package store is the only door to the disk: it keeps trees by digest, verifies them when they are
// first opened, publishes them under the paths that Flux gives to artifacts, and prunes what nobody
// needs any more.
//
// A tree is one file, and that file is the served artifact: a gzipped tar archive that depends on
// nothing but the files in it. Each tar entry is a gzip member of its own (a gzip file may have many),
// and an index beside the archive says where each member is. So one file can be read without
// inflating the others, and a new tree copies the compressed members of unchanged files from the
// tree before it: work is in proportion to the change.
//
// In: entries, a way to read their content, and digests. Out: tree.Tree, and an HTTP handler. The
// package never fetches anything, never decides which files belong to a tree, and never writes
// outside its folder. One process at a time may use a folder.
package store
