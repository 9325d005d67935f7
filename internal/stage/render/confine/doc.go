// Package confine shows a tree to kustomize as a file system, and keeps kustomize inside of it.
//
// In: a tree and limits. Out: a file system that answers from the tree and from files in memory, and a
// Trace of what it was asked. It never touches a disk or a network. What kustomize would fetch or run
// by itself, past the file system, is found in the kustomization files before kustomize reads them,
// and refused.
package confine
