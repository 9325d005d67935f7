// Package tarball reads the archives of sources: tar, compressed with gzip or not at all. An archive comes
// from outside, so names that lead out of it, kinds of files that a tree does not have, and content without
// end are refused.
//
// In: an archive, a scratch file, and limits. Out: entries, and where their content is in the scratch file.
// The package never creates a file that an archive names.
package tarball
