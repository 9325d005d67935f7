// Package install holds what runs Holdfast in a cluster: the manifests, as files that kustomize builds
// and embedded for `holdfast install`.
//
// In: an image, and where to live. Out: objects, in the order in which a cluster takes them. The package
// never talks to a cluster.
package install
