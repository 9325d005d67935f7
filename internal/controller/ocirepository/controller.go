package ocirepository

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/stage/source/oci"
)

// fetcher reads from registries.
type fetcher interface {
	Resolve(ctx context.Context, request oci.Request) (oci.Found, error)
	Pull(ctx context.Context, found oci.Found, layer oci.Layer) (*oci.Content, error)
}

// Deps are the parts that a Controller works with.
type Deps struct {
	source.Deps
	Fetcher fetcher
}

// Controller reconciles OCIRepository objects.
type Controller struct {
	Deps
	shelf source.Shelf
	loop  *source.Controller[*sourcev1.OCIRepository, facts]
}

// facts are what a run has to tell beyond its outcome.
type facts struct {
	// shown is what people call the artifact in the registry.
	shown string
}

type outcome = source.Outcome[facts]

// concurrent is how many objects are worked on at once. Most of that time a registry works, and not we.
const concurrent = 16

// Setup adds a Controller to the manager. The manager's scheme must know the kinds of sources.
func Setup(mgr ctrl.Manager, deps Deps, options source.Options) (*Controller, error) {
	if options.Concurrent == 0 {
		options.Concurrent = concurrent
	}
	deps.Deps = deps.Complete()
	c := &Controller{Deps: deps, shelf: deps.Shelf(sourcev1.OCIRepositoryKind)}
	c.loop = source.New(deps.Deps, source.Kind[*sourcev1.OCIRepository, facts]{
		Name:    sourcev1.OCIRepositoryKind,
		Empty:   func() *sourcev1.OCIRepository { return &sourcev1.OCIRepository{} },
		Parts:   parts,
		Run:     c.run,
		Observe: c.observe,
		Words:   words(),
	})
	return c, c.loop.Register(mgr, options, nil)
}

// Wake lets an object be reconciled at once, as if its interval were over.
func (c *Controller) Wake(name types.NamespacedName) { c.loop.Wake(name) }

func parts(object *sourcev1.OCIRepository) source.Parts {
	return source.Parts{
		Spec: object.Spec, Suspended: object.Spec.Suspend, Verified: object.Spec.Verify != nil,
		Conditions: &object.Status.Conditions, Artifact: &object.Status.Artifact,
		ObservedGeneration: &object.Status.ObservedGeneration, Requests: &object.Status.ReconcileRequestStatus,
	}
}

// observe notes where the artifact can be had, and what it was made with.
func (c *Controller) observe(object *sourcev1.OCIRepository, o outcome) {
	status := &object.Status
	status.URL = ""
	if o.Artifact != nil {
		status.URL = c.shelf.Latest(object)
	}
	if o.Err == nil {
		spec := object.Spec.DeepCopy()
		status.ObservedIgnore, status.ObservedLayerSelector = spec.Ignore, spec.LayerSelector
	}
}

func words() source.Words[*sourcev1.OCIRepository, facts] {
	return source.Words[*sourcev1.OCIRepository, facts]{
		Stored: func(_ *sourcev1.OCIRepository, o outcome) source.Text {
			return source.Text{Reason: meta.SucceededReason, Message: fmt.Sprintf("stored artifact for digest '%s'", o.Artifact.Revision)}
		},
		Newer: func(_ *sourcev1.OCIRepository, o outcome) string {
			return fmt.Sprintf("new revision '%s' for '%s'", o.Revision.Name, o.Facts.shown)
		},
		Told: func(object *sourcev1.OCIRepository, o outcome) string {
			text := fmt.Sprintf("stored artifact with revision '%s' from '%s'", o.Artifact.Revision, object.Spec.URL)
			origin, made := o.Artifact.Metadata[oci.SourceKey], o.Artifact.Metadata[oci.RevisionKey]
			if origin != "" && made != "" {
				text += fmt.Sprintf(", origin source '%s', origin revision '%s'", origin, made)
			}
			return text
		},
	}
}
