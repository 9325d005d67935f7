// Package storage keeps the records of releases as Helm does, so that helm list, history, get and rollback
// work on what Holdfast has released: Secrets of type helm.sh/release.v1 with Helm's names and labels.
//
// In: records, as package chart makes them (Output.Record), and a connection under the identity of the
// release. Out: the records of a release, newest first, and for the status of a HelmRelease a Snapshot with
// Flux's digests.
//
// How a release is carried out with it:
//
//	records, err := storage.Open(cluster, spec.StorageNamespace)
//	heads, err := records.Heads(ctx, name)                   // one request, no content: version and status
//	last, err := records.Get(ctx, name, heads[0].Version)    // where the content matters
//	if last.Info.Status.IsPending() { err = records.Unlock(ctx, last, now) }   // left by a crash
//	err = records.Create(ctx, out.Record(pending))           // before the first write to the cluster
//	… write, wait …
//	record.SetStatus(common.StatusDeployed, "Upgrade complete"); err = records.Update(ctx, record)
//	err = records.Supersede(ctx, name, record.Version)       // those that were deployed before
//	err = records.Trim(ctx, name, spec.MaxHistory)
//
// Every call obeys its context, which Helm's own driver does not. The package decides nothing: what the
// status of a release is, and what follows, is said by whoever calls it.
package storage
