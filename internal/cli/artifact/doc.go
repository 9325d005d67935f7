// Package artifact pushes folders to registries as Flux's artifacts, and pulls and tags them.
//
// In: a folder, or the address of an artifact; the registry's login from docker's configuration. Out: an
// artifact, or files. The package reads and writes nothing outside the folder that it is given, and it needs no
// cluster.
package artifact
