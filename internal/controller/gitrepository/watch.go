package gitrepository

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"holdfast.dev/holdfast/internal/controller/measure"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/source/git/githubapp"
)

// Options tune a Controller.
type Options struct {
	// Concurrent is how many objects are worked on at once; 0 means 4.
	Concurrent int
}

// includedBy is the index of objects by what they include.
const includedBy = "spec.include"

// Setup adds a Controller to the manager. The manager's scheme must know the kinds of sources.
func Setup(mgr ctrl.Manager, deps Deps, options Options) (*Controller, error) {
	if deps.Secrets == nil {
		deps.Secrets = deps.Client
	}
	if deps.Jitter == nil {
		deps.Jitter = func(interval time.Duration) time.Duration { return interval }
	}
	if deps.Record == nil {
		deps.Record = record.Nowhere()
	}
	if deps.Apps == nil {
		deps.Apps = &githubapp.Apps{}
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if options.Concurrent == 0 {
		options.Concurrent = 4
	}
	c := &Controller{Deps: deps, memories: map[types.NamespacedName]*memory{}}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &sourcev1.GitRepository{}, includedBy, includes); err != nil {
		return nil, fmt.Errorf("indexing GitRepository: %w", err)
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("gitrepository").
		For(&sourcev1.GitRepository{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.Funcs{UpdateFunc: requested}))).
		Watches(&sourcev1.GitRepository{}, handler.EnqueueRequestsFromMapFunc(c.includers),
			builder.WithPredicates(predicate.Funcs{CreateFunc: hasArtifact, UpdateFunc: artifactChanged})).
		WatchesRawSource(source.Func(c.nudge.start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: options.Concurrent}).
		Complete(measure.Reconciler(deps.Metrics, sourcev1.GitRepositoryKind, c))
	if err != nil {
		return nil, fmt.Errorf("setting up GitRepository: %w", err)
	}
	return c, nil
}

// Wake lets an object be reconciled at once, as if its interval were over.
func (c *Controller) Wake(name types.NamespacedName) { c.nudge.wake(name) }

// requested tells whether somebody asked for a reconcile by annotation.
func requested(e event.UpdateEvent) bool {
	before, _ := meta.ReconcileAnnotationValue(e.ObjectOld.GetAnnotations())
	after, found := meta.ReconcileAnnotationValue(e.ObjectNew.GetAnnotations())
	return found && before != after
}

// artifactChanged tells whether others that include the object have to look at it again.
func artifactChanged(e event.UpdateEvent) bool {
	before, isBefore := e.ObjectOld.(*sourcev1.GitRepository)
	after, isAfter := e.ObjectNew.(*sourcev1.GitRepository)
	if !isBefore || !isAfter || after.Status.Artifact == nil {
		return false
	}
	return before.Status.Artifact == nil || !sameArtifact(before.Status.Artifact, after.Status.Artifact)
}

func hasArtifact(e event.CreateEvent) bool {
	object, isSource := e.Object.(*sourcev1.GitRepository)
	return isSource && object.Status.Artifact != nil && !e.IsInInitialList
}

// includes lists what an object includes.
func includes(object client.Object) []string {
	repository, isSource := object.(*sourcev1.GitRepository)
	if !isSource {
		return nil
	}
	var names []string
	for _, include := range repository.Spec.Include {
		names = append(names, include.GitRepositoryRef.Name)
	}
	return names
}

// includers finds the objects that include the given one.
func (c *Controller) includers(ctx context.Context, object client.Object) []reconcile.Request {
	var list sourcev1.GitRepositoryList
	err := c.Client.List(ctx, &list, client.InNamespace(object.GetNamespace()), client.MatchingFields{includedBy: object.GetName()})
	if err != nil {
		log.FromContext(ctx).Error(err, "listing who includes a source", "source", object.GetName())
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
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
