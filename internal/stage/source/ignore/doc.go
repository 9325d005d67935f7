// Package ignore decides which files of a source belong to its tree, as Flux does: by the
// .sourceignore files in the source, the patterns in its spec, and defaults where there are neither.
//
// In: entries, a way to read the ignore files among them, and patterns. Out: the entries that stay.
// The package never reads any other file, and it never touches a disk.
package ignore
