package gitrepository

import (
	"context"
	"fmt"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/revision"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/store"
)

// localWork is how long storing a fetched commit may take; fetching has the object's own timeout.
const localWork = time.Minute

// run brings the artifact up to date with the remote.
func (c *Controller) run(ctx context.Context, object *sourcev1.GitRepository, o outcome) outcome {
	request, err := requestOf(object)
	if err != nil {
		return o.Failed(sourcev1.FetchFailedCondition, err)
	}
	ctx, cancel := context.WithTimeout(ctx, request.Timeout+localWork)
	defer cancel()
	if err := c.addSecrets(ctx, object, &request); err != nil {
		return o.Failed(sourcev1.FetchFailedCondition, fault.Because(fault.ReasonOf(err, sourcev1.AuthenticationFailedReason), err))
	}
	if o.Facts.included, err = c.findIncluded(ctx, object); err != nil {
		return o.Failed(sourcev1.IncludeUnavailableCondition, err)
	}
	if o.Artifact != nil && !contentChanged(object, o.Facts.included) {
		request.Known = o.Artifact.Revision
	}
	result, err := c.Fetcher.Fetch(ctx, request)
	if err != nil {
		return o.Failed(sourcev1.FetchFailedCondition, fetchFault(object, err))
	}
	o.Revision = record.Revision{Name: result.Revision, Author: result.Commit.Author, Title: result.Commit.Subject}
	o.Made = result.Commit.When
	if result.Unchanged {
		return o
	}
	if o, err = c.verify(ctx, object, result, o); err != nil {
		_ = result.Files.Close() // nothing of it was used
		return o.Failed(sourcev1.SourceVerifiedCondition, err)
	}
	return c.store(ctx, object, result, o)
}

// fetchFault gives a fetch's error its reason. Credentials that cannot be used stall only an object
// without Secrets: nobody tells us when a Secret is mended.
func fetchFault(object *sourcev1.GitRepository, err error) error {
	reason := fault.ReasonOf(err, sourcev1.GitOperationFailedReason)
	wrapped := fmt.Errorf("checking out and determining revision: %w", err)
	if object.Spec.SecretRef != nil || object.Spec.ProxySecretRef != nil {
		return &fault.Error{Kind: fault.Transient, Reason: reason, After: fault.AfterOf(err), Err: wrapped}
	}
	return fault.Because(reason, wrapped)
}

// store makes an artifact of a fetched commit.
func (c *Controller) store(ctx context.Context, object *sourcev1.GitRepository, result git.Result, o outcome) outcome {
	defer func() { _ = result.Files.Close() }()
	layers, err := c.layersOf(ctx, object, result.Files, o.Facts.included)
	if err != nil {
		return o.Failed(layers.condition, err)
	}
	kept, err := layers.filter(object.Spec.Ignore)
	if err != nil {
		return o.Failed(sourcev1.StorageOperationFailedCondition, fault.Because("SourceIgnoreError", err))
	}
	snapshot := store.Snapshot{Revision: result.Revision, Entries: kept, Open: layers.open}
	artifact, err := c.shelf.Put(ctx, object, result.Commit.Hash, snapshot, o.Artifact)
	if err != nil {
		return o.Failed(sourcev1.StorageOperationFailedCondition, err)
	}
	artifact.Metadata = metadata(o.Revision)
	o.Artifact = artifact
	return o
}

// metadata tells those who deliver an artifact which commit it is, and who signed it.
func metadata(commit record.Revision) map[string]string {
	known := map[string]string{revision.AuthorKey: commit.Author, revision.TitleKey: commit.Title}
	if commit.Signature != "" {
		known[revision.SignatureKey] = commit.Signature
	}
	return known
}
