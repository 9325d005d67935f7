package follow

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
)

// linger is how long an object is watched that nobody keeps: long enough for the one who asked for
// it to say so.
const linger = 2 * time.Minute

// Follower watches single objects of one cluster. It is safe for concurrent use.
//
// Each object has a watch of its own, with a field selector, and there is no sharing by namespace: a
// single-object watch is what the API server handles best (kubelets hold one for each Secret and
// ConfigMap of their Pods), while one of a namespace would bring every Secret in it.
type Follower struct {
	cluster  *kube.Cluster
	onChange func(object.Ref)
	linger   time.Duration

	ctx     context.Context //nolint:containedctx // the life of the watches, not of a request
	stop    context.CancelFunc
	tasks   sync.WaitGroup
	lock    sync.Mutex
	watches map[object.Ref]*watch
	kept    map[string]map[object.Ref]struct{}
}

// New makes a Follower, which sends no request before it is asked for an object. The function is
// called without locks held when an object that somebody asked for has changed, came into being, is
// gone, or became known after a Get had failed; it must not block. Stop the Follower when done.
func New(cluster *kube.Cluster, onChange func(object.Ref)) *Follower {
	ctx, stop := context.WithCancel(context.Background())
	return &Follower{
		cluster: cluster, onChange: onChange, linger: linger, ctx: ctx, stop: stop,
		watches: map[object.Ref]*watch{}, kept: map[string]map[object.Ref]struct{}{},
	}
}

// Stop ends all watches and waits until they have ended.
func (f *Follower) Stop() {
	f.stop()
	f.tasks.Wait()
}

// Get returns an object, or nil when it does not exist. The first call for an object starts to
// watch it and waits for its first state; later ones answer from memory, also while the watch is
// interrupted. The object is shared: the caller must not modify it. It comes without managed fields.
// A watch that nobody keeps ends after a while.
func (f *Follower) Get(ctx context.Context, ref object.Ref) (*unstructured.Unstructured, error) {
	for {
		f.lock.Lock()
		if f.ctx.Err() != nil {
			f.lock.Unlock()
			return nil, fmt.Errorf("reading %s: %w", ref, context.Canceled)
		}
		w := f.watch(ref) //nolint:contextcheck // a watch outlives the one who asks first
		if w.users == 0 {
			f.expire(w)
		}
		if w.known || w.err != nil {
			u, err := w.object, w.err
			if w.known {
				err = nil
			} else {
				w.missed = true
			}
			f.lock.Unlock()
			return u, err
		}
		told := w.told
		f.lock.Unlock()
		select {
		case <-told:
		case <-f.ctx.Done():
		case <-ctx.Done():
			f.lock.Lock()
			w.missed = true
			f.lock.Unlock()
			return nil, fmt.Errorf("reading %s: %w", ref, ctx.Err())
		}
	}
}

// Keep replaces the set of objects that a user needs. Objects that are new are watched from now on;
// watches that no user needs any more end after a while.
func (f *Follower) Keep(user string, refs []object.Ref) {
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.ctx.Err() != nil {
		return
	}
	former, next := f.kept[user], make(map[object.Ref]struct{}, len(refs))
	for _, ref := range refs {
		if _, twice := next[ref]; twice {
			continue
		}
		next[ref] = struct{}{}
		w := f.watch(ref)
		if _, had := former[ref]; !had {
			w.users++
		}
	}
	for ref := range former {
		if _, still := next[ref]; still {
			continue
		}
		w := f.watches[ref]
		w.users--
		if w.users == 0 {
			f.expire(w)
		}
	}
	f.kept[user] = next
	if len(next) == 0 {
		delete(f.kept, user)
	}
}

// Watches returns how many objects are watched.
func (f *Follower) Watches() int {
	f.lock.Lock()
	defer f.lock.Unlock()
	return len(f.watches)
}

// watch returns the watch of an object, and starts it if there is none. The lock is held.
func (f *Follower) watch(ref object.Ref) *watch {
	if w := f.watches[ref]; w != nil {
		return w
	}
	ctx, stop := context.WithCancel(f.ctx)
	w := &watch{follower: f, ref: ref, stop: stop, told: make(chan struct{})}
	f.watches[ref] = w
	f.tasks.Go(func() { w.run(ctx) })
	return w
}

// expire ends a watch after a while unless somebody keeps it by then. The lock is held.
func (f *Follower) expire(w *watch) {
	if w.expiry != nil {
		w.expiry.Reset(f.linger)
		return
	}
	w.expiry = time.AfterFunc(f.linger, func() {
		f.lock.Lock()
		defer f.lock.Unlock()
		if w.users == 0 && f.watches[w.ref] == w {
			delete(f.watches, w.ref)
			w.stop()
		}
	})
}
