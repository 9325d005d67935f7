package source

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/metric"
	"holdfast.dev/holdfast/internal/store"
)

// Recorder tells people what happened.
type Recorder interface {
	AnnotatedEventf(object runtime.Object, annotations map[string]string, eventType, reason, format string, args ...any)
}

// Deps are the parts that every Controller of a source works with.
type Deps struct {
	Client client.Client
	// Secrets reads Secrets; nil means Client, which may read them from a cache.
	Secrets client.Reader
	Events  Recorder
	// Record keeps what happened; nil means record.Nowhere().
	Record record.Recorder
	Store  *store.Store
	// PublicURL is what the store's published paths are appended to, "http://host:port/".
	PublicURL string
	// Jitter spreads the reconciles of objects with equal intervals; nil means not at all.
	Jitter func(time.Duration) time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Metrics is what reconciles are measured by; nil measures nothing.
	Metrics *metric.Set
	// Identities makes credentials of providers; nil makes none.
	Identities *identity.Source
}

// Complete fills in what the Deps leave open.
func (d Deps) Complete() Deps {
	if d.Secrets == nil {
		d.Secrets = d.Client
	}
	if d.Jitter == nil {
		d.Jitter = func(interval time.Duration) time.Duration { return interval }
	}
	if d.Record == nil {
		d.Record = record.Nowhere()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}

// Shelf returns the part of the store that belongs to a kind. The Deps must be complete.
func (d Deps) Shelf(kind string) Shelf {
	return Shelf{Store: d.Store, PublicURL: d.PublicURL, Kind: kind, Now: d.Now}
}

// Controller reconciles the objects of one kind of source.
type Controller[T Object, F any] struct {
	Deps
	kind  Kind[T, F]
	shelf Shelf
	nudge nudge

	mu       sync.Mutex
	memories map[types.NamespacedName]*memory
}

// memory is what a Controller knows of an object beyond its status.
type memory struct {
	// written is the object as our last write returned it: the cache may still show an older one.
	written  client.Object
	failures int // in a row
	// configured is the generation whose settings are recorded.
	configured int64
}

// New makes a Controller of a kind.
func New[T Object, F any](deps Deps, kind Kind[T, F]) *Controller[T, F] {
	deps = deps.Complete()
	return &Controller[T, F]{
		Deps: deps, kind: kind, shelf: deps.Shelf(kind.Name), memories: map[types.NamespacedName]*memory{},
	}
}

// Wake lets an object be reconciled at once, as if its interval were over.
func (c *Controller[T, F]) Wake(name types.NamespacedName) { c.nudge.wake(name) }

// Reconcile implements reconcile.Reconciler: get, run, save.
func (c *Controller[T, F]) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object, known, err := c.get(ctx, request.NamespacedName)
	if known == nil {
		return ctrl.Result{}, err
	}
	if !object.GetDeletionTimestamp().IsZero() {
		return ctrl.Result{}, c.retire(ctx, object)
	}
	if err := c.adopt(ctx, object, known); err != nil {
		return ctrl.Result{}, err
	}
	if err := c.recordSettings(ctx, object, known); err != nil {
		return ctrl.Result{}, err
	}
	if c.kind.Parts(object).Suspended {
		return ctrl.Result{}, c.save(ctx, object, c.kind.suspended(object), known)
	}
	return c.visit(ctx, object, known)
}

// visit runs the kind and tells what came of it.
func (c *Controller[T, F]) visit(ctx context.Context, object T, known *memory) (ctrl.Result, error) {
	announced := c.announceIfSlow(ctx, object)
	var outcome Outcome[F]
	outcome.Artifact, outcome.Damaged = c.shelf.kept(object, *c.kind.Parts(object).Artifact)
	outcome = c.kind.Run(ctx, copyOf(object), outcome)
	if latest, found := announced(); found {
		object = latest
	}
	if err := c.record(ctx, object, outcome); err != nil {
		return ctrl.Result{}, err
	}
	if err := c.save(ctx, object, c.kind.settled(object, outcome, c.Now()), known); err != nil {
		return ctrl.Result{}, err
	}
	c.report(ctx, object, outcome)
	return ctrl.Result{RequeueAfter: c.next(object, outcome, known)}, nil
}

// copyOf copies an object with everything in it.
func copyOf[T Object](object T) T {
	return object.DeepCopyObject().(T) //nolint:forcetypeassert // a copy has the type of the original
}
