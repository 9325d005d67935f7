// Package anchor keeps what vouches for an audit log outside of its store: the key that signs, in a
// Secret; the last checkpoint, in a ConfigMap and in a Git repository.
//
// In: a cluster, a namespace, the folder of a bare repository. Out: what package audit wants as its
// KeySource and its Anchors. The private key is nowhere but in the Secret and in memory. Nothing here
// is pushed to a remote: a mirror of the repository is whoever's job mirrors repositories.
package anchor
