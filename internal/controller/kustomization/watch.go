package kustomization

import (
	"context"
	"fmt"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/controller/measure"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/metric"
	"holdfast.dev/holdfast/internal/record/witness"
	"holdfast.dev/holdfast/internal/stage/decrypt"
	"holdfast.dev/holdfast/internal/stage/observe"
	"holdfast.dev/holdfast/internal/stage/render"
)

// trees opens the files of an artifact, from the local store or by HTTP, with its digest verified.
type trees interface {
	Open(ctx context.Context, artifact *meta.Artifact) (tree.Tree, error)
}

// follower keeps single objects at hand by watches. A missing object is nil without an error.
type follower interface {
	Get(ctx context.Context, ref object.Ref) (*unstructured.Unstructured, error)
	Keep(user string, refs []object.Ref)
}

// Deps are the parts that the controller works with.
type Deps struct {
	Client   client.Client // reads from the manager's cache
	Line     *pipeline.Line
	Renderer *render.Renderer
	Trees    trees
	Follower follower
	Events   teller
	// Local is the cluster that the Kustomizations are in.
	Local pipeline.Site
	// Observe makes an observer for a remote cluster; its wake-ups go to the same Inbox.
	Observe func(*kube.Cluster) *observe.Observer
	Inbox   *delivery.Inbox
	Metrics *metric.Set // nil measures nothing
	// Record keeps what happened; nil means record.Nowhere().
	Record record.Recorder
	// Identities makes credentials of ServiceAccounts; nil makes none.
	Identities *identity.Source
	// Witness knows who asked for what; nil knows nobody.
	Witness *witness.Book
}

// Options are settings with the meaning of Flux's flags (flux-contract 2.10).
type Options struct {
	Concurrent                      int     // visits at once; 0 means 20: a visit holds no worker while it waits
	IntervalJitter                  float64 // share of the interval, 0 to 1
	NoCrossNamespaceRefs            bool
	DefaultServiceAccount           string
	DefaultKubeConfigServiceAccount string
	InsecureKubeconfigTLS           bool
	LenientSubstitutions            bool // StrictPostBuildSubstitutions=false
	Releases                        delivery.Releases
	AdditiveCELDependencyCheck      bool
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
	if options.Concurrent == 0 {
		options.Concurrent = 20
	}
	if deps.Record == nil {
		deps.Record = record.Nowhere()
	}
	r := &reconciler{
		Deps: deps, Options: options, now: time.Now,
		keyrings: &keyrings{},
		notes:    &delivery.Notes[*kustomizev1.Kustomization]{},
	}
	site := delivery.SiteOptions{
		DefaultServiceAccount: options.DefaultServiceAccount, DefaultKubeConfigServiceAccount: options.DefaultKubeConfigServiceAccount,
		InsecureKubeconfigTLS: options.InsecureKubeconfigTLS, Observe: deps.Observe, Identities: deps.Identities,
	}
	if deps.Metrics != nil {
		site.Requests = deps.Metrics.Request
	}
	r.sites = delivery.NewSites(deps.Local, deps.Follower, site)
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
