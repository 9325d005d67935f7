package helmchart

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/helm"
)

// Deps are the parts that a Controller works with.
type Deps struct {
	source.Deps
	Client *helm.Client
	// Trees opens the artifacts of other sources, ours and those of others; nil opens ours only.
	Trees func(ctx context.Context, artifact *meta.Artifact) (tree.Tree, error)
	// Library is shared with the controller of HelmRepositories.
	Library *helm.Library
}

// Controller reconciles HelmChart objects.
type Controller struct {
	source.Deps
	remotes *helm.Client
	trees   func(ctx context.Context, artifact *meta.Artifact) (tree.Tree, error)
	library *helm.Library
	shelf   source.Shelf
	loop    *source.Controller[*sourcev1.HelmChart, facts]
}

// facts are what a run has to tell beyond its outcome.
type facts struct {
	name, version string
	packaged      bool
	valuesFiles   []string
	// source is the revision of the source's artifact; empty where it has none.
	source string
}

type outcome = source.Outcome[facts]

func newController(deps Deps) *Controller {
	deps.Deps = deps.Complete()
	if deps.Trees == nil {
		deps.Trees = func(_ context.Context, artifact *meta.Artifact) (tree.Tree, error) {
			return deps.Store.Get(artifact.Digest)
		}
	}
	c := &Controller{Deps: deps.Deps, remotes: deps.Client, trees: deps.Trees, library: deps.Library, shelf: deps.Shelf(sourcev1.HelmChartKind)}
	c.loop = source.New(deps.Deps, source.Kind[*sourcev1.HelmChart, facts]{
		Name:    sourcev1.HelmChartKind,
		Empty:   func() *sourcev1.HelmChart { return &sourcev1.HelmChart{} },
		Parts:   parts,
		Run:     c.run,
		Observe: c.observe,
		Words: source.Words[*sourcev1.HelmChart, facts]{
			Stored: func(_ *sourcev1.HelmChart, o outcome) source.Text { return o.Facts.summary() },
			Newer: func(_ *sourcev1.HelmChart, o outcome) string {
				return "new " + o.Facts.described()
			},
		},
	})
	return c
}

// Wake lets an object be reconciled at once, as if its interval were over.
func (c *Controller) Wake(name types.NamespacedName) { c.loop.Wake(name) }

func parts(object *sourcev1.HelmChart) source.Parts {
	return source.Parts{
		Spec: object.Spec, Suspended: object.Spec.Suspend, Verified: object.Spec.Verify != nil,
		Conditions: &object.Status.Conditions, Artifact: &object.Status.Artifact,
		ObservedGeneration: &object.Status.ObservedGeneration, Requests: &object.Status.ReconcileRequestStatus,
	}
}

// observe notes what the artifact was made of.
func (c *Controller) observe(object *sourcev1.HelmChart, o outcome) {
	if o.Facts.source != "" {
		object.Status.ObservedSourceArtifactRevision = o.Facts.source
	}
	if o.Err != nil {
		return
	}
	object.Status.ObservedChartName = o.Facts.name
	object.Status.ObservedValuesFiles = o.Facts.valuesFiles
	object.Status.URL = c.shelf.Latest(object)
}

func (f facts) described() string {
	return fmt.Sprintf("'%s' chart with version '%s'", f.name, f.version)
}

// summary says what was built, in Flux's words.
func (f facts) summary() source.Text {
	text := source.Text{Reason: sourcev1.ChartPullSucceededReason, Message: "pulled " + f.described()}
	if f.packaged {
		text = source.Text{Reason: sourcev1.ChartPackageSucceededReason, Message: "packaged " + f.described()}
	}
	if len(f.valuesFiles) > 0 {
		text.Message += fmt.Sprintf(" and merged values files %v", f.valuesFiles)
	}
	return text
}

// bySource is the index of charts by their source.
const bySource = "spec.sourceRef"

func sourceKey(kind, name string) string { return kind + "/" + name }

// Setup adds a Controller to the manager. The manager's scheme must know the kinds of sources.
func Setup(mgr ctrl.Manager, deps Deps, options source.Options) (*Controller, error) {
	c := newController(deps)
	err := mgr.GetFieldIndexer().IndexField(context.Background(), &sourcev1.HelmChart{}, bySource, func(object client.Object) []string {
		chart, isChart := object.(*sourcev1.HelmChart)
		if !isChart {
			return nil
		}
		return []string{sourceKey(chart.Spec.SourceRef.Kind, chart.Spec.SourceRef.Name)}
	})
	if err != nil {
		return nil, fmt.Errorf("indexing HelmChart: %w", err)
	}
	return c, c.loop.Register(mgr, options, func(registration *builder.Builder) *builder.Builder {
		for kind, object := range map[string]client.Object{
			sourcev1.HelmRepositoryKind: &sourcev1.HelmRepository{}, sourcev1.GitRepositoryKind: &sourcev1.GitRepository{}, sourcev1.BucketKind: &sourcev1.Bucket{},
		} {
			registration = registration.Watches(object, handler.EnqueueRequestsFromMapFunc(c.chartsOf(kind)), builder.WithPredicates(news()))
		}
		return registration
	})
}

type artifacted interface {
	GetArtifact() *meta.Artifact
	GetGeneration() int64
}

// news lets through that a source has another artifact, or another address.
func news() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, isBefore := e.ObjectOld.(artifacted)
			after, isAfter := e.ObjectNew.(artifacted)
			if !isBefore || !isAfter {
				return false
			}
			if before.GetGeneration() != after.GetGeneration() {
				return true
			}
			artifact := after.GetArtifact()
			return artifact != nil && (before.GetArtifact() == nil || !before.GetArtifact().HasRevision(artifact.Revision) || !before.GetArtifact().HasDigest(artifact.Digest))
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// chartsOf finds the charts of a source.
func (c *Controller) chartsOf(kind string) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		var list sourcev1.HelmChartList
		err := c.Client.List(ctx, &list, client.InNamespace(object.GetNamespace()), client.MatchingFields{bySource: sourceKey(kind, object.GetName())})
		if err != nil {
			log.FromContext(ctx).Error(err, "listing the charts of a source", "source", object.GetName())
			return nil
		}
		requests := make([]reconcile.Request, len(list.Items))
		for i := range list.Items {
			requests[i].NamespacedName = client.ObjectKeyFromObject(&list.Items[i])
		}
		return requests
	}
}
