package kustomization

import (
	"context"
	"fmt"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/controller/measure"
	"holdfast.dev/holdfast/internal/record/witness"
	"holdfast.dev/holdfast/internal/stage/decrypt"
	"holdfast.dev/holdfast/internal/stage/render"
)

// Deps are the parts that the controller works with.
type Deps struct {
	delivery.Parts
	Renderer *render.Renderer
	// Witness knows who asked for what; nil knows nobody.
	Witness *witness.Book
}

// Options are the settings of all units, and those of Kustomizations alone.
type Options struct {
	delivery.Options
	LenientSubstitutions bool // StrictPostBuildSubstitutions=false
	// AgeSecret names the Secret with age keys for units that ask for decryption and name none.
	AgeSecret types.NamespacedName
	// Decryption is what the operator decides about it for all units.
	Decryption decrypt.Options
	// DefaultDecryptionServiceAccount is whose identity key services are asked with for units that name none.
	DefaultDecryptionServiceAccount string
	// VaultConfigMap names the ConfigMap with the Vaults that identities may log in to.
	VaultConfigMap types.NamespacedName
}

// inputsIndex finds units by what they read: "Kind/namespace/name" of sources, dependencies,
// ConfigMaps and Secrets.
const inputsIndex = "holdfast.inputs"

// inputs lists what a unit reads, for the index.
func (o Options) inputs(u *kustomizev1.Kustomization) []string {
	keys := []string{delivery.InputKey(u.Spec.SourceRef.Kind, sourceName(u))}
	for _, wish := range u.GetDependsOn() {
		keys = append(keys, delivery.InputKey(kustomizev1.KustomizationKind, delivery.Dependency(u, wish)))
	}
	for _, ref := range o.configRefs(u) {
		keys = append(keys, delivery.InputKey(ref.Kind, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}))
	}
	return keys
}

// Setup registers the controller with a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, deps Deps, options Options) error {
	deps.Parts, options.Options = deps.Complete(options.Options)
	r := &reconciler{
		Deps: deps, Options: options, now: time.Now,
		keyrings: &keyrings{},
		notes:    &delivery.Notes[*kustomizev1.Kustomization]{},
	}
	r.sites = deps.Sites(options.Options)
	r.depends = delivery.Dependencies[*kustomizev1.Kustomization]{
		Get: r.read, Of: dependsOn,
		Additive: options.AdditiveCELDependencyCheck,
	}
	err := mgr.GetFieldIndexer().IndexField(ctx, &kustomizev1.Kustomization{}, inputsIndex, func(o client.Object) []string {
		return options.inputs(o.(*kustomizev1.Kustomization)) //nolint:forcetypeassert // the index is for this kind
	})
	if err != nil {
		return fmt.Errorf("indexing Kustomizations: %w", err)
	}
	deps.Inbox.Expand(r.readers)
	registration := ctrl.NewControllerManagedBy(mgr).Named("kustomization").
		For(&kustomizev1.Kustomization{}, builder.WithPredicates(delivery.Wanted())).
		Watches(&kustomizev1.Kustomization{}, r.wakeReaders(kustomizev1.KustomizationKind), builder.WithPredicates(delivery.Standing())).
		WatchesRawSource(deps.Inbox).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.Concurrent})
	for kind, empty := range delivery.SourceKinds() {
		_, err := mgr.GetRESTMapper().RESTMapping(sourcev1.GroupVersion.WithKind(kind).GroupKind(), sourcev1.GroupVersion.Version)
		if apimeta.IsNoMatchError(err) {
			continue // this cluster does not have the kind, so nobody can refer to it
		}
		registration = registration.Watches(empty(), r.wakeReaders(kind), builder.WithPredicates(delivery.Offering()))
	}
	if err := mgr.Add(r.sites); err != nil {
		return err
	}
	return registration.Complete(measure.Reconciler(deps.Metrics, kustomizev1.KustomizationKind, r))
}

// readers returns the units that read something.
func (r *reconciler) readers(ctx context.Context, key string) []reconcile.Request {
	var list kustomizev1.KustomizationList
	if err := r.Client.List(ctx, &list, client.MatchingFields{inputsIndex: key}, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	requests := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		requests[i].NamespacedName = nameOf(&list.Items[i])
	}
	return requests
}

// wakeReaders wakes the units that read an object.
func (r *reconciler) wakeReaders(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return r.readers(ctx, delivery.InputKey(kind, client.ObjectKeyFromObject(o)))
	})
}
