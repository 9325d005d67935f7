// Package staged reads what the next commit of a Git repository will change: the files of the index
// that differ from the last commit.
//
// In: a folder in a repository. Out: the names and the content of the staged files, and where the
// repository keeps its hooks. No git program is started, and nothing in the repository is changed.
package staged
