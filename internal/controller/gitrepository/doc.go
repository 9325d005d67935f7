// Package gitrepository serves the kind GitRepository: it finds out what a remote repository holds,
// stores the files as an artifact, and says so in the object's status as Flux does.
//
// In: GitRepository objects and the Secrets that they name. Out: trees in the store, published under
// Flux's paths, one status write for a reconcile that changed something, and events. An unchanged
// remote costs one look at its references and no request to the cluster but for the Secrets.
//
// The package never renders or applies what it stores. A remote that fails never costs the artifact:
// it stays in the status and is served until a newer one replaces it.
package gitrepository
