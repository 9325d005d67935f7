package helmrelease

import (
	"context"
	"fmt"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/controller/measure"
	"holdfast.dev/holdfast/internal/stage/render/chart"
)

// Deps are the parts that the controller works with.
type Deps struct {
	delivery.Parts
	Renderer *chart.Renderer
}

// inputsIndex finds units by what they read.
const inputsIndex = "holdfast.helm.inputs"

// inputs lists what a unit reads, for the index.
func inputs(u *helmv2.HelmRelease) []string {
	source := sourceOf(u)
	keys := []string{delivery.InputKey(source.Kind, source.NamespacedName)}
	for _, wish := range u.Spec.DependsOn {
		keys = append(keys, delivery.InputKey(helmv2.HelmReleaseKind, delivery.Dependency(u, wish)))
	}
	for _, ref := range configRefs(u) {
		keys = append(keys, delivery.InputKey(ref.Kind, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}))
	}
	return keys
}

// Setup registers the controller with a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, deps Deps, options delivery.Options) error {
	deps.Parts, options = deps.Complete(options)
	r := &reconciler{
		Deps: deps, Options: options, now: time.Now, cans: &capabilities{}, memos: &memos{},
		notes: &delivery.Notes[*helmv2.HelmRelease]{},
		sites: deps.Sites(options),
	}
	r.depends = delivery.Dependencies[*helmv2.HelmRelease]{
		Get: r.read, Of: func(u *helmv2.HelmRelease) []fluxmeta.DependencyReference { return u.Spec.DependsOn },
		Ready: ready, Additive: options.AdditiveCELDependencyCheck,
	}
	err := mgr.GetFieldIndexer().IndexField(ctx, &helmv2.HelmRelease{}, inputsIndex, func(o client.Object) []string {
		return inputs(o.(*helmv2.HelmRelease)) //nolint:forcetypeassert // the index is for this kind
	})
	if err != nil {
		return fmt.Errorf("indexing HelmReleases: %w", err)
	}
	deps.Inbox.Expand(r.readers)
	registration := ctrl.NewControllerManagedBy(mgr).Named("helmrelease").
		For(&helmv2.HelmRelease{}, builder.WithPredicates(delivery.Wanted(helmv2.ForceRequestAnnotation, helmv2.ResetRequestAnnotation))).
		Watches(&helmv2.HelmRelease{}, r.wakeReaders(helmv2.HelmReleaseKind), builder.WithPredicates(delivery.Standing())).
		WatchesRawSource(deps.Inbox).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.Concurrent})
	for _, kind := range []string{sourcev1.OCIRepositoryKind, sourcev1.HelmChartKind, sourcev1.ExternalArtifactKind} {
		_, err := mgr.GetRESTMapper().RESTMapping(sourcev1.GroupVersion.WithKind(kind).GroupKind(), sourcev1.GroupVersion.Version)
		if apimeta.IsNoMatchError(err) {
			continue // this cluster does not have the kind, so nobody can refer to it
		}
		news := delivery.Offering()
		if kind == sourcev1.HelmChartKind {
			news = predicate.Or(news, settled()) // what was made for us may turn out not to be had
		}
		registration = registration.Watches(delivery.SourceKinds()[kind](), r.wakeReaders(kind), builder.WithPredicates(news))
	}
	if err := mgr.Add(r.sites); err != nil {
		return err
	}
	return registration.Complete(measure.Reconciler(deps.Metrics, helmv2.HelmReleaseKind, r))
}

// settled lets through HelmCharts that were looked at, or whose readiness is another one.
func settled() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*sourcev1.HelmChart)
		after, okToo := e.ObjectNew.(*sourcev1.HelmChart)
		if !ok || !okToo {
			return false
		}
		old, latest := apimeta.FindStatusCondition(before.Status.Conditions, fluxmeta.ReadyCondition), apimeta.FindStatusCondition(after.Status.Conditions, fluxmeta.ReadyCondition)
		return before.Status.ObservedGeneration != after.Status.ObservedGeneration || latest != nil && (old == nil || old.Status != latest.Status || old.Message != latest.Message)
	}}
}

// read returns a unit.
func (r *reconciler) read(ctx context.Context, name types.NamespacedName) (*helmv2.HelmRelease, error) {
	var unit helmv2.HelmRelease
	err := r.Client.Get(ctx, name, &unit)
	return &unit, err
}

// ready is the built-in check of one dependency.
func ready(_, other *helmv2.HelmRelease, name types.NamespacedName) error {
	if other.Generation != other.Status.ObservedGeneration || !apimeta.IsStatusConditionTrue(other.Status.Conditions, fluxmeta.ReadyCondition) {
		return fmt.Errorf("dependency '%s' is not ready", name)
	}
	return nil
}

// readers returns the units that read something.
func (r *reconciler) readers(ctx context.Context, key string) []reconcile.Request {
	var list helmv2.HelmReleaseList
	if err := r.Client.List(ctx, &list, client.MatchingFields{inputsIndex: key}, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	requests := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&list.Items[i])
	}
	return requests
}

// wakeReaders wakes the units that read an object.
func (r *reconciler) wakeReaders(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return r.readers(ctx, delivery.InputKey(kind, client.ObjectKeyFromObject(o)))
	})
}
