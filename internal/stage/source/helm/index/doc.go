// Package index reads the index of a Helm repository and finds versions of charts in it.
//
// In: the text of an index.yaml or index.json, as a stream. Out: an Index that keeps of each version only
// what is needed to choose and fetch it. An index of 50 MB is read as it comes, line by line; what is
// kept of it is a small part, and one Index is shared by all charts of a repository.
//
// The layout that Helm and its relatives write is read without a YAML parser. What is laid out otherwise is
// left to one, up to a size. The package fetches nothing.
package index
