package kustomization

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"holdfast.dev/holdfast/internal/controller/measure"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/metric"
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
	Inbox   *Inbox
	Metrics *metric.Set // nil measures nothing
	// Record keeps what happened; nil means record.Nowhere().
	Record record.Recorder
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
	Releases                        Releases
	AdditiveCELDependencyCheck      bool
	// AgeSecret names the Secret with age keys for units that ask for decryption and name none.
	AgeSecret types.NamespacedName
	// Decryption is what the operator decides about it for all units.
	Decryption decrypt.Options
}

// inputsIndex finds units by what they read: "Kind/namespace/name" of sources, dependencies,
// ConfigMaps and Secrets.
const inputsIndex = "holdfast.inputs"

func inputKey(kind string, name types.NamespacedName) string {
	return kind + "/" + name.Namespace + "/" + name.Name
}

// inputs lists what a unit reads, for the index.
func (o Options) inputs(u *kustomizev1.Kustomization) []string {
	keys := []string{inputKey(u.Spec.SourceRef.Kind, sourceName(u))}
	for _, wish := range u.Spec.DependsOn {
		keys = append(keys, inputKey(kustomizev1.KustomizationKind, dependency(u, wish)))
	}
	for _, ref := range o.configRefs(u) {
		keys = append(keys, inputKey(ref.Kind, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}))
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
		notes:    &notes{all: map[types.NamespacedName]*note{}},
		sites: &sites{
			local: deps.Local, observe: deps.Observe,
			remote:     map[[sha256.Size]byte]pipeline.Site{},
			identities: map[identityKey]*kube.Cluster{},
			used:       map[object.Owner][sha256.Size]byte{},
		},
	}
	err := mgr.GetFieldIndexer().IndexField(ctx, &kustomizev1.Kustomization{}, inputsIndex, func(o client.Object) []string {
		return options.inputs(o.(*kustomizev1.Kustomization)) //nolint:forcetypeassert // the index is for this kind
	})
	if err != nil {
		return fmt.Errorf("indexing Kustomizations: %w", err)
	}
	deps.Inbox.expand = r.readers
	if deps.Metrics != nil {
		r.sites.options.Observe = deps.Metrics.Request
	}
	registration := ctrl.NewControllerManagedBy(mgr).Named("kustomization").
		For(&kustomizev1.Kustomization{}, builder.WithPredicates(wanted())).
		Watches(&kustomizev1.Kustomization{}, r.wakeReaders(kustomizev1.KustomizationKind), builder.WithPredicates(standing())).
		WatchesRawSource(deps.Inbox).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.Concurrent})
	for kind, empty := range sourceKinds {
		_, err := mgr.GetRESTMapper().RESTMapping(sourcev1.GroupVersion.WithKind(kind).GroupKind(), sourcev1.GroupVersion.Version)
		if apimeta.IsNoMatchError(err) {
			continue // this cluster does not have the kind, so nobody can refer to it
		}
		registration = registration.Watches(empty(), r.wakeReaders(kind), builder.WithPredicates(offering()))
	}
	if err := mgr.Add(stopper(r.sites.stop)); err != nil {
		return err
	}
	return registration.Complete(measure.Reconciler(deps.Metrics, kustomizev1.KustomizationKind, r))
}

// stopper ends something when the manager does.
type stopper func()

// Start implements manager.Runnable.
func (s stopper) Start(ctx context.Context) error {
	<-ctx.Done()
	s()
	return nil
}

// wanted lets through what changes a unit's wish: its spec, its deletion, a request by annotation.
func wanted() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, _ := meta.ReconcileAnnotationValue(e.ObjectOld.GetAnnotations())
			after, _ := meta.ReconcileAnnotationValue(e.ObjectNew.GetAnnotations())
			return before != after || wishesDiffer(e.ObjectOld.GetAnnotations(), e.ObjectNew.GetAnnotations()) || e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		},
	})
}

// standing lets through what dependents look at: readiness, applied revision, generation. A ready
// expression may look at anything in the status, so any change of it counts.
func standing() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*kustomizev1.Kustomization)
		after, okToo := e.ObjectNew.(*kustomizev1.Kustomization)
		return ok && okToo && before.ResourceVersion != after.ResourceVersion
	}}
}

// offering lets through sources whose artifact is another one.
func offering() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(sourcev1.Source)
		after, okToo := e.ObjectNew.(sourcev1.Source)
		if !ok || !okToo {
			return false
		}
		old, latest := before.GetArtifact(), after.GetArtifact()
		return latest != nil && (old == nil || old.Revision != latest.Revision || old.Digest != latest.Digest || old.URL != latest.URL)
	}}
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
		return r.readers(ctx, inputKey(kind, client.ObjectKeyFromObject(o)))
	})
}

// Inbox takes wake-ups from observed objects and puts them into the controller's queue. It can be
// given to observers before there is a controller: what comes early is kept.
type Inbox struct {
	lock   sync.Mutex
	queue  workqueue.TypedRateLimitingInterface[reconcile.Request]
	early  map[reconcile.Request]bool
	expand func(ctx context.Context, key string) []reconcile.Request
}

// NewInbox makes an Inbox.
func NewInbox() *Inbox { return &Inbox{early: map[reconcile.Request]bool{}} }

// Start implements source.Source.
func (i *Inbox) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	i.lock.Lock()
	defer i.lock.Unlock()
	i.queue = queue
	for request := range i.early {
		queue.Add(request)
	}
	i.early = nil
	return nil
}

// Wake wakes a unit. It does not block.
func (i *Inbox) Wake(owner object.Owner) {
	i.add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}})
}

// WakeReaders wakes the units that read a ConfigMap or a Secret.
func (i *Inbox) WakeReaders(ref object.Ref) {
	i.lock.Lock()
	expand := i.expand
	i.lock.Unlock()
	if expand == nil {
		return
	}
	key := inputKey(ref.Kind, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name})
	for _, request := range expand(context.Background(), key) {
		i.add(request)
	}
}

func (i *Inbox) add(request reconcile.Request) {
	i.lock.Lock()
	defer i.lock.Unlock()
	if i.queue == nil {
		i.early[request] = true
		return
	}
	i.queue.Add(request)
}
