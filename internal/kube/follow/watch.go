package follow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/stream"
	"holdfast.dev/holdfast/internal/model/object"
)

// watch holds one object. Its fields belong to the follower's lock.
type watch struct {
	follower *Follower
	ref      object.Ref
	stop     context.CancelFunc
	users    int
	expiry   *time.Timer

	object *unstructured.Unstructured // nil when it does not exist
	known  bool                       // the first state has come
	err    error                      // why it has not come
	missed bool                       // somebody asked in vain
	told   chan struct{}              // closed when the first state, or an error, has come
}

// pauses before the kind of an object is looked up again after that failed.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// run follows the object until ctx is done.
func (w *watch) run(ctx context.Context) {
	mapping, found := w.mapped(ctx)
	if !found {
		return
	}
	target := stream.Target{Resource: mapping.Resource, Fields: stream.One(w.ref.Name)}
	if mapping.Namespaced {
		target.Namespace = w.ref.Namespace
	}
	stream.Run(ctx, w.follower.cluster, target, stream.Sink[*unstructured.Unstructured]{
		Look: whole,
		Put:  func(item stream.Item[*unstructured.Unstructured]) { w.set(ctx, item.Value) },
		Drop: func(stream.Item[*unstructured.Unstructured]) { w.set(ctx, nil) },
		Replace: func(items []stream.Item[*unstructured.Unstructured], _ stream.Position) {
			if len(items) == 0 {
				w.set(ctx, nil)
			}
			for _, item := range items {
				w.set(ctx, item.Value)
			}
		},
		Link: func(err error) {
			if err != nil {
				w.fail(err)
			}
		},
	}, logr.Discard())
}

// whole keeps an object, but for the managed fields that nobody here reads.
func whole(seen metav1.Object) *unstructured.Unstructured {
	u, _ := seen.(*unstructured.Unstructured)
	unstructured.RemoveNestedField(u.Object, "metadata", "managedFields")
	return u
}

// mapped finds out how to reach the object, however long it takes.
func (w *watch) mapped(ctx context.Context) (mapping kube.Mapping, found bool) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		mapping, err := w.follower.cluster.Map(ctx, w.ref)
		switch {
		case ctx.Err() != nil:
			return mapping, false
		case err == nil && (!mapping.Namespaced || w.ref.Namespace != ""):
			return mapping, true
		case err == nil:
			err = fmt.Errorf("%s namespace not specified", w.ref)
		}
		w.fail(err)
		select {
		case <-ctx.Done():
			return mapping, false
		case <-time.After(pause + rand.N(pause)): //nolint:gosec // spreads load
		}
	}
}

// set takes in what the object is now.
func (w *watch) set(ctx context.Context, u *unstructured.Unstructured) {
	f := w.follower
	f.lock.Lock()
	changed := w.known && different(w.object, u) || !w.known && w.missed
	w.object, w.err = u, nil
	w.tell()
	w.known, w.missed = true, false
	f.lock.Unlock()
	if changed && ctx.Err() == nil && f.onChange != nil {
		f.onChange(w.ref)
	}
}

// fail notes why the first state does not come. Later, memory answers.
func (w *watch) fail(err error) {
	w.follower.lock.Lock()
	defer w.follower.lock.Unlock()
	if w.known {
		return
	}
	w.err = fmt.Errorf("reading %s: %w", w.ref, err)
	w.tell()
}

// tell wakes those who wait for the first state, once.
func (w *watch) tell() {
	select {
	case <-w.told:
	default:
		close(w.told)
	}
}

// different tells whether two states of an object are two.
func different(a, b *unstructured.Unstructured) bool {
	if a == nil || b == nil {
		return a != b
	}
	return a.GetUID() != b.GetUID() || a.GetResourceVersion() != b.GetResourceVersion()
}
