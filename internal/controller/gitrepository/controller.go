package gitrepository

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/githubapp"
)

// fetcher finds out what a remote holds.
type fetcher interface {
	Fetch(ctx context.Context, request git.Request) (git.Result, error)
}

// Deps are the parts that a Controller works with.
type Deps struct {
	source.Deps
	Fetcher fetcher
	// Apps keeps the tokens of GitHub Apps; nil means one without a proxy.
	Apps *githubapp.Apps
}

// Controller reconciles GitRepository objects.
type Controller struct {
	Deps
	shelf source.Shelf
	loop  *source.Controller[*sourcev1.GitRepository, facts]
}

// facts are what a run has to tell beyond its outcome.
type facts struct {
	// included are the artifacts of the included repositories, in the order of spec.include.
	included []*meta.Artifact
}

type outcome = source.Outcome[facts]

func newController(deps Deps) *Controller {
	deps.Deps = deps.Complete()
	if deps.Apps == nil {
		deps.Apps = &githubapp.Apps{}
	}
	c := &Controller{Deps: deps, shelf: deps.Shelf(sourcev1.GitRepositoryKind)}
	c.loop = source.New(deps.Deps, source.Kind[*sourcev1.GitRepository, facts]{
		Name:    sourcev1.GitRepositoryKind,
		Empty:   func() *sourcev1.GitRepository { return &sourcev1.GitRepository{} },
		Parts:   parts,
		Run:     c.run,
		Observe: observe,
		Words:   words(),
	})
	return c
}

// Wake lets an object be reconciled at once, as if its interval were over.
func (c *Controller) Wake(name types.NamespacedName) { c.loop.Wake(name) }

func parts(object *sourcev1.GitRepository) source.Parts {
	return source.Parts{
		Spec: object.Spec, Suspended: object.Spec.Suspend, Verified: object.Spec.Verification != nil,
		Conditions: &object.Status.Conditions, Artifact: &object.Status.Artifact,
		ObservedGeneration: &object.Status.ObservedGeneration, Requests: &object.Status.ReconcileRequestStatus,
	}
}

// observe notes how the artifact was verified, and what it was made with.
func observe(object *sourcev1.GitRepository, o outcome) {
	status := &object.Status
	switch {
	case object.Spec.Verification == nil:
		status.SourceVerificationMode = nil
	case o.Verified != "":
		mode := object.Spec.Verification.GetMode()
		status.SourceVerificationMode = &mode
	}
	if o.Err != nil {
		return
	}
	spec := object.Spec.DeepCopy()
	status.IncludedArtifacts = o.Facts.included
	status.ObservedIgnore = spec.Ignore
	status.ObservedInclude = spec.Include
	status.ObservedRecurseSubmodules = spec.RecurseSubmodules
	status.ObservedSparseCheckout = spec.SparseCheckout
}

func words() source.Words[*sourcev1.GitRepository, facts] {
	return source.Words[*sourcev1.GitRepository, facts]{
		Stored: func(_ *sourcev1.GitRepository, o outcome) source.Text {
			return source.Text{Reason: meta.SucceededReason, Message: fmt.Sprintf("stored artifact for revision '%s'", o.Artifact.Revision)}
		},
		Told: func(_ *sourcev1.GitRepository, o outcome) string {
			return fmt.Sprintf("stored artifact for commit '%s'", commitOf(o))
		},
		UpToDate: func(_ *sourcev1.GitRepository, o outcome) source.Text {
			return source.Text{
				Reason:  sourcev1.GitOperationSucceedReason,
				Message: fmt.Sprintf("no changes since last reconciliation: observed revision '%s'", o.Artifact.Revision),
			}
		},
	}
}

// commitOf names a commit for people: by the beginning of its subject, or else by its revision.
func commitOf(o outcome) string {
	subject := []rune(o.Revision.Title)
	switch {
	case len(subject) == 0:
		return o.Artifact.Revision
	case len(subject) > 50:
		return string(subject[:50]) + "..."
	default:
		return o.Revision.Title
	}
}
