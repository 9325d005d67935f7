package delivery

import (
	"context"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"holdfast.dev/holdfast/internal/model/object"
)

// InputKey names something that units read, for an index: "Kind/namespace/name".
func InputKey(kind string, name types.NamespacedName) string {
	return kind + "/" + name.Namespace + "/" + name.Name
}

// Wanted lets through what changes a unit's wish: its spec, its deletion, a request by annotation. Further
// annotations by which a kind is asked are named.
func Wanted(further ...string) predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			old, latest := e.ObjectOld.GetAnnotations(), e.ObjectNew.GetAnnotations()
			before, _ := meta.ReconcileAnnotationValue(old)
			after, _ := meta.ReconcileAnnotationValue(latest)
			asked := before != after || WishesDiffer(old, latest)
			for _, name := range further {
				asked = asked || old[name] != latest[name]
			}
			return asked || e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		},
	})
}

// Standing lets through any change of a unit that others depend on: a ready expression may look at
// anything in the status.
func Standing() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion()
	}}
}

// Offering lets through sources whose artifact is another one.
func Offering() predicate.Predicate {
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

// Expand says who reads something; see InputKey.
func (i *Inbox) Expand(readers func(ctx context.Context, key string) []reconcile.Request) {
	i.lock.Lock()
	defer i.lock.Unlock()
	i.expand = readers
}

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
	key := InputKey(ref.Kind, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name})
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
