// Package ocirepository serves the kind OCIRepository: it finds out which artifact of a registry is meant,
// verifies who signed it where the spec asks for that, and keeps one layer of it as an artifact.
//
// In: OCIRepository objects and the Secrets and accounts that they name. Out: what package source makes of a
// run. A tag that did not move costs one request to the registry, and none to the cluster but for the Secrets.
//
// The package never keeps anything of an artifact whose signature does not verify: the one before stays.
package ocirepository
