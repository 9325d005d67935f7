package gitrepository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/revision"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/store"
)

// outcome is what one run came to. It is complete also when the run failed.
type outcome struct {
	// artifact is what is served now: a new one, or the one before; nil where there is none.
	artifact *meta.Artifact
	// damaged says why the artifact in the status cannot be served any more; nil where it can.
	damaged error
	// included are the artifacts of the included repositories, in the order of spec.include.
	included []*meta.Artifact
	// revision is what the remote holds; empty where that is not known.
	revision string
	commit   git.Commit // empty where nothing was fetched
	// verified says what was found to be signed and by which key, for people; empty where nothing was
	// verified in this run. signature names the signer, for records and alerts.
	verified, signature string
	// condition names the condition that holds err, for example FetchFailed.
	condition string
	err       error
}

func (o outcome) failed(condition string, err error) outcome {
	o.condition, o.err = condition, err
	return o
}

// localWork is how long storing a fetched commit may take; fetching has the object's own timeout.
const localWork = time.Minute

// run brings the artifact up to date with the remote.
func (c *Controller) run(ctx context.Context, object *sourcev1.GitRepository) outcome {
	var o outcome
	o.artifact, o.damaged = c.kept(object)
	request, err := requestOf(object)
	if err != nil {
		return o.failed(sourcev1.FetchFailedCondition, err)
	}
	ctx, cancel := context.WithTimeout(ctx, request.Timeout+localWork)
	defer cancel()
	if err := c.addSecrets(ctx, object, &request); err != nil {
		return o.failed(sourcev1.FetchFailedCondition, fault.Because(fault.ReasonOf(err, sourcev1.AuthenticationFailedReason), err))
	}
	if o.included, err = c.findIncluded(ctx, object); err != nil {
		return o.failed(sourcev1.IncludeUnavailableCondition, err)
	}
	if o.artifact != nil && !contentChanged(object, o.included) {
		request.Known = o.artifact.Revision
	}
	result, err := c.Fetcher.Fetch(ctx, request)
	if err != nil {
		return o.failed(sourcev1.FetchFailedCondition, fetchFault(object, err))
	}
	o.revision, o.commit = result.Revision, result.Commit
	if result.Unchanged {
		return o
	}
	if o, err = c.verify(ctx, object, result, o); err != nil {
		_ = result.Files.Close() // nothing of it was used
		return o.failed(sourcev1.SourceVerifiedCondition, err)
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

// kept returns the artifact in the status if its tree is whole and served, and otherwise why not.
func (c *Controller) kept(object *sourcev1.GitRepository) (*meta.Artifact, error) {
	artifact := object.Status.Artifact.DeepCopy()
	if artifact == nil {
		return nil, nil
	}
	if path.Dir(artifact.Path) != folderOf(object) {
		return nil, fmt.Errorf("finding artifact: path %q belongs to another object", artifact.Path)
	}
	err := c.Store.Check(artifact.Digest)
	if err == nil {
		err = c.Store.Publish(artifact.Path, artifact.Digest)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// Any other trouble with the disk may pass, and must not cost the artifact.
	artifact.URL = c.PublicURL + artifact.Path // the address may be another one since the last start
	return artifact, nil
}

// store makes an artifact of a fetched commit.
func (c *Controller) store(ctx context.Context, object *sourcev1.GitRepository, result git.Result, o outcome) outcome {
	defer func() { _ = result.Files.Close() }()
	layers, err := c.layersOf(ctx, object, result.Files, o.included)
	if err != nil {
		return o.failed(layers.condition, err)
	}
	kept, err := layers.filter(object.Spec.Ignore)
	if err != nil {
		return o.failed(sourcev1.StorageOperationFailedCondition, fault.Because("SourceIgnoreError", err))
	}
	stored, err := c.Store.Put(ctx, store.Snapshot{Revision: result.Revision, Entries: kept, Open: layers.open}, c.previous(o))
	if err != nil {
		return o.failed(sourcev1.StorageOperationFailedCondition, fault.Because(sourcev1.ArchiveOperationFailedReason, err))
	}
	served := store.PathOf(sourcev1.GitRepositoryKind, object.Namespace, object.Name, result.Commit.Hash)
	if err := c.Store.Publish(served, stored.Digest()); err != nil {
		return o.failed(sourcev1.StorageOperationFailedCondition, fault.Because(sourcev1.ArchiveOperationFailedReason, err))
	}
	size := stored.Size()
	o.artifact = &meta.Artifact{
		Digest:         stored.Digest(),
		Path:           served,
		URL:            c.PublicURL + served,
		Revision:       result.Revision,
		LastUpdateTime: metav1.NewTime(c.Now().UTC().Truncate(time.Second)),
		Size:           &size,
		Metadata:       o.metadata(result.Commit),
	}
	return o
}

// metadata tells those who deliver an artifact which commit it is, and who signed it.
func (o outcome) metadata(commit git.Commit) map[string]string {
	known := map[string]string{revision.AuthorKey: commit.Author, revision.TitleKey: commit.Subject}
	if o.signature != "" {
		known[revision.SignatureKey] = o.signature
	}
	return known
}

// previous returns the tree whose compressed files a new one can take over. It is only a help: where
// it cannot be opened, everything is compressed anew.
func (c *Controller) previous(o outcome) *store.Tree {
	if o.artifact == nil {
		return nil
	}
	previous, err := c.Store.Get(o.artifact.Digest)
	if err != nil {
		return nil
	}
	return previous
}

// folderOf returns the path below which an object's artifacts are published.
func folderOf(object *sourcev1.GitRepository) string {
	return path.Dir(store.PathOf(sourcev1.GitRepositoryKind, object.Namespace, object.Name, "any"))
}
