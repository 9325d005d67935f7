// Package oci reads artifacts from registries: which digest a tag or a range of versions means, and the
// files in one of its layers.
//
// In: requests with credentials. Out: digests, annotations, entries with a way to read their content. An
// unchanged tag costs one request. What is pulled is pulled by digest, so it is what was resolved and
// verified before.
//
// A registry is a stranger: manifests, lists and layers are bounded, names that lead out of an archive are
// refused, a layer comes from the registry and never from an address that a manifest names, and credentials
// go to the registry's own host only. The package stores nothing beyond a scratch file, and it knows no
// signatures: those are in its subpackage.
package oci
