package ocirepository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/revision"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/source/ignore"
	"holdfast.dev/holdfast/internal/stage/source/oci"
	"holdfast.dev/holdfast/internal/stage/source/tarball"
	"holdfast.dev/holdfast/internal/store"
)

// localWork is how long storing a layer may take; the registry has the object's own timeout.
const localWork = time.Minute

// run brings the artifact up to date with the registry.
func (c *Controller) run(ctx context.Context, object *sourcev1.OCIRepository, o outcome) outcome {
	request, err := requestOf(object)
	if err != nil {
		return o.Failed(sourcev1.FetchFailedCondition, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*request.Timeout+localWork) // to resolve, to verify, to pull
	defer cancel()
	if err := c.addSecrets(ctx, object, &request); err != nil {
		return o.Failed(sourcev1.FetchFailedCondition, fault.Because(fault.ReasonOf(err, sourcev1.AuthenticationFailedReason), err))
	}
	found, err := c.Fetcher.Resolve(ctx, request)
	if err != nil {
		return o.Failed(sourcev1.FetchFailedCondition, err)
	}
	o.Revision, o.Facts.shown = record.Revision{Name: found.Revision}, found.Shown
	if object.Spec.Verify != nil && (!o.Artifact.HasRevision(found.Revision) || unverified(object)) {
		signer, err := c.verify(ctx, object, found)
		if err != nil {
			return o.Failed(sourcev1.SourceVerifiedCondition, fault.Because(fault.ReasonOf(err, sourcev1.VerificationError), err))
		}
		o.Verified = "verified signature of revision " + found.Revision
		o.Revision.Signature = signer
	}
	if o.Artifact.HasRevision(found.Revision) && !contentChanged(object) {
		return o
	}
	layer := oci.Layer{MediaType: object.GetLayerMediaType(), Copy: object.GetLayerOperation() == sourcev1.OCILayerCopy}
	content, err := c.Fetcher.Pull(ctx, found, layer)
	if err != nil {
		return o.Failed(sourcev1.FetchFailedCondition, err)
	}
	defer func() { _ = content.Close() }()
	return c.store(ctx, object, found, content, o)
}

// unverified tells whether the artifact in the status was not verified as the spec now wants it.
func unverified(object *sourcev1.OCIRepository) bool {
	verified := source.Condition(object.Status.Conditions, sourcev1.SourceVerifiedCondition)
	return verified.Status != metav1.ConditionTrue || verified.ObservedGeneration != object.Generation
}

// contentChanged tells whether the artifact in the status was made with other options than the spec has
// now, so that even the same digest gives another artifact.
func contentChanged(object *sourcev1.OCIRepository) bool {
	return !equal(object.Spec.Ignore, object.Status.ObservedIgnore) ||
		!equal(object.Spec.LayerSelector, object.Status.ObservedLayerSelector)
}

func equal[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// store makes an artifact of what was pulled.
func (c *Controller) store(ctx context.Context, object *sourcev1.OCIRepository, found oci.Found, content *oci.Content, o outcome) outcome {
	put := c.putFiles
	if object.GetLayerOperation() == sourcev1.OCILayerCopy {
		put = c.putLayer
	}
	before := o.Artifact
	var err error
	if o.Artifact, err = put(ctx, object, found, content, before); err != nil {
		o.Artifact = before
		return o.Failed(sourcev1.StorageOperationFailedCondition, err)
	}
	o.Artifact.Metadata = metadata(content.Annotations, o.Revision.Signature)
	o.Revision.Origin = o.Artifact.Metadata[oci.RevisionKey]
	if made, err := time.Parse(time.RFC3339, o.Artifact.Metadata[oci.CreatedKey]); err == nil {
		o.Made = made
	}
	return o
}

// putFiles keeps the files of a layer, but for those that the ignore rules leave out.
func (c *Controller) putFiles(ctx context.Context, object *sourcev1.OCIRepository, found oci.Found, content *oci.Content, before *artifact) (*artifact, error) {
	kept, err := ignore.Filter(content.Files.Entries(), reader(content.Files), object.Spec.Ignore)
	if err != nil {
		return nil, fault.Because("SourceIgnoreError", err)
	}
	snapshot := store.Snapshot{Revision: found.Revision, Entries: kept, Open: content.Files.Open}
	return c.shelf.Put(ctx, object, found.Digest, snapshot, before)
}

// putLayer keeps a layer as it is.
func (c *Controller) putLayer(ctx context.Context, object *sourcev1.OCIRepository, found oci.Found, content *oci.Content, _ *artifact) (*artifact, error) {
	blob, err := content.Blob()
	if err != nil {
		return nil, fault.Because(sourcev1.ReadOperationFailedReason, fmt.Errorf("reading layer: %w", err))
	}
	var files *store.Snapshot
	if content.Files != nil {
		snapshot := content.Files.Snapshot(found.Revision)
		files = &snapshot
	}
	return c.shelf.PutFile(ctx, object, found.Digest, blob, found.Revision, files)
}

// reader reads the files among which the ignore rules are.
func reader(files *tarball.Files) func(name string) ([]byte, error) {
	index := tree.NewIndex(append([]tree.Entry(nil), files.Entries()...))
	return func(name string) (content []byte, err error) {
		entry, _ := index.Find(name)
		file, err := files.Open(entry)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		return io.ReadAll(file)
	}
}

// metadata is what a manifest says of itself, as far as a status can hold it. What we say of a revision
// ourselves, nobody else may say.
func metadata(annotations map[string]string, signer string) map[string]string {
	known := oci.Annotations(annotations)
	for _, ours := range []string{revision.AuthorKey, revision.TitleKey, revision.SignatureKey} {
		delete(known, ours)
	}
	if signer != "" {
		known[revision.SignatureKey] = signer
	}
	if len(known) == 0 {
		return nil
	}
	return known
}
