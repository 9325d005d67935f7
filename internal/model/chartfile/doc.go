// Package chartfile reads Helm charts: out of a directory of a tree, or out of an archive.
//
// In: a tree and a path, or the bytes of a .tgz. Out: the chart as Helm's own loader makes it, with its
// subcharts. Sizes are bounded as Helm bounds them, .helmignore is honoured in directories, and nothing
// is ever read from a disk or a network. It knows nothing of releases and of values.
package chartfile
