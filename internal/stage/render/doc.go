// Package render turns the files of a unit into the objects that the unit wants: kustomize build,
// post-build substitution, owner labels, and the normal form in which objects are applied.
//
// In: a tree and the fields of a Kustomization. Out: objects in writing order with a fingerprint.
// What a unit rendered last is kept, so that a tree in which nothing changed that the build read
// costs no build, and one in which a file changed costs the build of that file.
//
// What SOPS encrypted is decrypted by an Opener, which the input brings along: files of generators and
// patches as the build reads them, objects after it.
//
// It never reaches a cluster, a disk, or a network, runs no process, and knows no key. An object that is
// still encrypted at the end is an error.
package render
