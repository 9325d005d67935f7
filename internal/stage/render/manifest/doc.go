// Package manifest reads files of Kubernetes objects as kustomize does, and knows of each what matters
// for building it: which documents it has, which objects they declare, and which names they mention.
//
// In: the bytes of a file. Out: Facts, which depend on nothing else, so that a Library can keep them by
// the hash of the file. It never crashes on what kustomize would crash on: aliases that refer to
// themselves or grow without bound, and nesting without end, are errors.
package manifest
