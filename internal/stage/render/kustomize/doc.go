// Package kustomize turns a directory of a tree into built resources, as Flux does: it generates a
// kustomization where there is none, merges the unit's own wishes into it, and runs kustomize on it.
//
// In: a tree and a Spec. Out: the built resources as YAML text with the file each came from, and a
// Trace of everything the build asked of the tree.
//
// A second build of nearly the same tree costs little. Most builds are functions of one file at a
// time, so the package keeps what each file became and builds again only those files whose content
// or surroundings changed (plan.go says when that is allowed, reduce.go how it is done). The builds
// are always done by kustomize itself, on a smaller set of files; anything that the analysis does
// not understand is built whole.
//
// The package never touches a disk or a network, runs no process, and follows no path out of the
// tree.
package kustomize
