package gitrepository

import (
	"context"
	"sync"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/metric"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/githubapp"
	"holdfast.dev/holdfast/internal/store"
)

// fieldOwner is the manager of the fields we write, as Flux names it.
const fieldOwner = "source-controller"

// fetcher finds out what a remote holds.
type fetcher interface {
	Fetch(ctx context.Context, request git.Request) (git.Result, error)
}

// recorder tells people what happened.
type recorder interface {
	AnnotatedEventf(object runtime.Object, annotations map[string]string, eventType, reason, format string, args ...any)
}

// Deps are the parts that a Controller works with.
type Deps struct {
	Client client.Client
	// Secrets reads Secrets; nil means Client, which may read them from a cache.
	Secrets client.Reader
	Events  recorder
	// Record keeps what happened; nil means record.Nowhere().
	Record  record.Recorder
	Store   *store.Store
	Fetcher fetcher
	// Apps keeps the tokens of GitHub Apps; nil means one without a proxy.
	Apps *githubapp.Apps
	// PublicURL is what the store's published paths are appended to, "http://host:port/".
	PublicURL string
	// Jitter spreads the reconciles of objects with equal intervals; nil means not at all.
	Jitter func(time.Duration) time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Metrics is what reconciles are measured by; nil measures nothing.
	Metrics *metric.Set
}

// Controller reconciles GitRepository objects.
type Controller struct {
	Deps
	nudge nudge

	mu       sync.Mutex
	memories map[types.NamespacedName]*memory
}

// memory is what a Controller knows of an object beyond its status.
type memory struct {
	// written is the object as our last write returned it: the cache may still show an older one.
	written  *sourcev1.GitRepository
	failures int // in a row
	// configured is the generation whose settings are recorded.
	configured int64
}

// Reconcile implements reconcile.Reconciler: get, run, save.
func (c *Controller) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object, memory, err := c.get(ctx, request.NamespacedName)
	if object == nil {
		return ctrl.Result{}, err
	}
	if !object.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, c.retire(ctx, object)
	}
	if err := c.adopt(ctx, object, memory); err != nil {
		return ctrl.Result{}, err
	}
	if err := c.recordSettings(ctx, object, memory); err != nil {
		return ctrl.Result{}, err
	}
	if object.Spec.Suspend {
		return ctrl.Result{}, c.save(ctx, object, suspended(object), memory)
	}
	announced := c.announceIfSlow(ctx, object)
	outcome := c.run(ctx, object)
	if latest := announced(); latest != nil {
		object.Status, object.ResourceVersion = latest.Status, latest.ResourceVersion
	}
	before := object.DeepCopy()
	if err := c.record(ctx, before, outcome); err != nil {
		return ctrl.Result{}, err
	}
	if err := c.save(ctx, object, statusOf(object, outcome, c.Now()), memory); err != nil {
		return ctrl.Result{}, err
	}
	c.report(ctx, before, outcome)
	return ctrl.Result{RequeueAfter: c.next(object, outcome, memory)}, nil
}
