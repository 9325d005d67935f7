// Package helm reads charts from where they are kept: Helm repositories over HTTP, OCI registries, and trees of
// other sources; and it makes of each the files of a packed chart.
//
// In: a Remote (an address with its credentials) or a tree, and what a HelmChart asks for. Out: a Chart, whose
// files become an artifact. A Library keeps the indexes that were read, so that all charts of a repository
// share one; an index that did not change costs one conditional request.
//
// Credentials are sent to the repository's own host only, unless the spec passes them on. Downloads are
// bounded, compared with the digest that the index says, and never run. The package knows no custom resource and
// reads no Secret.
package helm
