package helmrepository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/source/helm"
	"holdfast.dev/holdfast/internal/stage/source/helm/index"
	"holdfast.dev/holdfast/internal/store"
)

// indexFile is the name of the file that the artifact holds.
const indexFile = "index.yaml"

// localWork is how long storing an index may take; fetching has the object's own timeout.
const localWork = time.Minute

type fetcher interface {
	Fetch(ctx context.Context, remote helm.Remote, etag string) (helm.Fetched, error)
}

// Deps are the parts that a Controller works with.
type Deps struct {
	source.Deps
	Fetcher fetcher
	// Library keeps the indexes that were read.
	Library *helm.Library
}

// Controller reconciles HelmRepository objects.
type Controller struct {
	Deps
	shelf source.Shelf
	loop  *source.Controller[*sourcev1.HelmRepository, facts]

	mu    sync.Mutex
	etags map[types.NamespacedName]validator
}

// validator is what a repository gave us to ask whether its index changed, for one artifact and one spec.
type validator struct {
	etag, digest string
	generation   int64
}

// facts are what a run has to tell beyond its outcome.
type facts struct {
	address string
	size    int64
}

type outcome = source.Outcome[facts]

// Setup adds a Controller to the manager. The manager's scheme must know the kinds of sources.
func Setup(mgr ctrl.Manager, deps Deps, options source.Options) (*Controller, error) {
	c := newController(deps)
	return c, c.loop.Register(mgr, options, func(registration *builder.Builder) *builder.Builder {
		return registration.WithEventFilter(predicate.NewPredicateFuncs(func(object client.Object) bool {
			repository, isRepository := object.(*sourcev1.HelmRepository)
			// One that was of another type before has a finalizer, which somebody must take away.
			return !isRepository || repository.Spec.Type != sourcev1.HelmRepositoryTypeOCI || !repository.DeletionTimestamp.IsZero()
		}))
	})
}

func newController(deps Deps) *Controller {
	deps.Deps = deps.Complete()
	c := &Controller{Deps: deps, shelf: deps.Shelf(sourcev1.HelmRepositoryKind), etags: map[types.NamespacedName]validator{}}
	c.loop = source.New(deps.Deps, source.Kind[*sourcev1.HelmRepository, facts]{
		Name:  sourcev1.HelmRepositoryKind,
		Empty: func() *sourcev1.HelmRepository { return &sourcev1.HelmRepository{} },
		Parts: parts,
		Run:   c.run,
		Observe: func(object *sourcev1.HelmRepository, o outcome) {
			if o.Artifact != nil {
				object.Status.URL = c.shelf.Latest(object)
			}
		},
		Words: source.Words[*sourcev1.HelmRepository, facts]{
			Newer: func(_ *sourcev1.HelmRepository, o outcome) string {
				return fmt.Sprintf("new index revision '%s'", o.Revision.Name)
			},
			Told: func(_ *sourcev1.HelmRepository, o outcome) string {
				if o.Facts.size == 0 {
					return fmt.Sprintf("stored artifact: revision '%s'", o.Artifact.Revision)
				}
				return fmt.Sprintf("stored fetched index of size %s from '%s'", sized(o.Facts.size), o.Facts.address)
			},
		},
	})
	return c
}

// sized writes a size for people.
func sized(bytes int64) string {
	switch {
	case bytes >= 1_000_000:
		return fmt.Sprintf("%.1fMB", float64(bytes)/1e6)
	case bytes >= 1_000:
		return fmt.Sprintf("%.1fkB", float64(bytes)/1e3)
	default:
		return fmt.Sprintf("%dB", bytes)
	}
}

// Wake lets an object be reconciled at once, as if its interval were over.
func (c *Controller) Wake(name types.NamespacedName) { c.loop.Wake(name) }

func parts(object *sourcev1.HelmRepository) source.Parts {
	return source.Parts{
		Spec: object.Spec, Suspended: object.Spec.Suspend,
		Conditions: &object.Status.Conditions, Artifact: &object.Status.Artifact,
		ObservedGeneration: &object.Status.ObservedGeneration, Requests: &object.Status.ReconcileRequestStatus,
	}
}

// run brings the artifact up to date with the index.
func (c *Controller) run(ctx context.Context, object *sourcev1.HelmRepository, o outcome) outcome {
	ctx, cancel := context.WithTimeout(ctx, object.GetTimeout()+localWork)
	defer cancel()
	remote, err := RemoteOf(ctx, c.Secrets, object)
	if err != nil {
		return o.Failed(sourcev1.FetchFailedCondition, err)
	}
	o.Facts.address = plain(object.Spec.URL)
	name := client.ObjectKeyFromObject(object)
	fetched, err := c.Fetcher.Fetch(ctx, remote, c.etagFor(name, object, o.Artifact))
	if err != nil {
		reason := sourcev1.IndexationFailedReason
		if errors.Is(err, helm.ErrAuthentication) {
			reason = sourcev1.AuthenticationFailedReason
		}
		return o.Failed(sourcev1.FetchFailedCondition, fault.Because(reason, fmt.Errorf("failed to fetch Helm repository index: %w", err)))
	}
	if fetched.Unchanged {
		o.Revision.Name = o.Artifact.Revision
		return o
	}
	o.Revision, o.Facts.size = record.Revision{Name: fetched.Digest}, fetched.Size
	if o.Artifact == nil || !o.Artifact.HasRevision(fetched.Digest) {
		if o.Artifact, err = c.keep(ctx, object, fetched, o.Artifact); err != nil {
			return o.Failed(sourcev1.StorageOperationFailedCondition, err)
		}
	}
	c.Library.Put(o.Artifact.Digest, fetched.Index)
	c.mu.Lock()
	c.etags[name] = validator{fetched.ETag, o.Artifact.Digest, object.Generation}
	c.mu.Unlock()
	return o
}

// etagFor returns what the repository said with the index that is kept. A spec that changed, or an artifact that
// is gone, asks for all of it.
func (c *Controller) etagFor(name types.NamespacedName, object *sourcev1.HelmRepository, kept *meta.Artifact) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.etags[name]
	if kept == nil || !kept.HasDigest(known.digest) || known.generation != object.Generation {
		return ""
	}
	return known.etag
}

// keep stores an index.
func (c *Controller) keep(ctx context.Context, object *sourcev1.HelmRepository, fetched helm.Fetched, previous *meta.Artifact) (*meta.Artifact, error) {
	text := helm.Written(fetched.Index)
	sum := sha256.Sum256(text)
	snapshot := store.Snapshot{
		Revision: fetched.Digest,
		Entries:  []tree.Entry{{Path: indexFile, Hash: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(text)), Mode: 0o644}},
		Open:     func(tree.Entry) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
	}
	kept, err := c.shelf.Put(ctx, object, "index-"+strings.TrimPrefix(fetched.Digest, "sha256:"), snapshot, nil)
	if err != nil {
		return previous, err
	}
	return kept, nil
}

// Index returns the index of an artifact, from memory where it is there.
func Index(library *helm.Library, artifacts *store.Store, artifact *meta.Artifact) (*index.Index, error) {
	return library.Get(artifact.Digest, func() (*index.Index, error) {
		kept, err := artifacts.Get(artifact.Digest)
		if err != nil {
			return nil, err
		}
		text, err := kept.Read(indexFile)
		if err != nil {
			return nil, err
		}
		return index.Read(bytes.NewReader(text))
	})
}

// plain returns an address without what may be secret in it.
func plain(text string) string {
	address, err := url.Parse(text)
	if err != nil {
		return "the repository"
	}
	address.User, address.RawQuery = nil, ""
	return address.String()
}
