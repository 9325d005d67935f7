// Package helmrepository reconciles HelmRepository objects: it reads the index of a repository over HTTP when it
// changes, and keeps what charts need of it as an artifact. A repository of type oci is a static object, as in
// Flux: nothing is fetched and no status is written; charts take its address and credentials from it.
//
// In: objects and their Secrets. Out: artifacts, conditions, and for charts a Remote (RemoteOf) and an index
// (Indexes). The fetching is done by internal/stage/source/helm.
package helmrepository
