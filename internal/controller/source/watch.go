package source

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"holdfast.dev/holdfast/internal/controller/measure"
)

// Options tune a Controller.
type Options struct {
	// Concurrent is how many objects are worked on at once; 0 means 4.
	Concurrent int
}

// Register adds a Controller to the manager, whose scheme must know the kinds of sources. An object is woken
// by its spec, by a request of a person, by Wake and by its interval; more, which may be nil, adds what else
// wakes it.
func (c *Controller[T, F]) Register(mgr ctrl.Manager, options Options, more func(*builder.Builder) *builder.Builder) error {
	if options.Concurrent == 0 {
		options.Concurrent = 4
	}
	registration := ctrl.NewControllerManagedBy(mgr).
		Named(strings.ToLower(c.kind.Name)).
		For(c.kind.Empty(), builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.Funcs{UpdateFunc: requested}))).
		WatchesRawSource(source.Func(c.nudge.start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.Concurrent})
	if more != nil {
		registration = more(registration)
	}
	if err := registration.Complete(measure.Reconciler(c.Metrics, c.kind.Name, c)); err != nil {
		return fmt.Errorf("setting up %s: %w", c.kind.Name, err)
	}
	return nil
}

// requested tells whether somebody asked for a reconcile by annotation.
func requested(e event.UpdateEvent) bool {
	before, _ := meta.ReconcileAnnotationValue(e.ObjectOld.GetAnnotations())
	after, found := meta.ReconcileAnnotationValue(e.ObjectNew.GetAnnotations())
	return found && before != after
}

// nudge puts objects into the queue from inside the process.
type nudge struct {
	mu      sync.Mutex
	queue   workqueue.TypedRateLimitingInterface[reconcile.Request]
	waiting []reconcile.Request // until there is a queue
}

func (n *nudge) start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = queue
	for _, request := range n.waiting {
		queue.Add(request)
	}
	n.waiting = nil
	return nil
}

func (n *nudge) wake(name types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	request := reconcile.Request{NamespacedName: name}
	if n.queue == nil {
		n.waiting = append(n.waiting, request)
		return
	}
	n.queue.Add(request)
}
