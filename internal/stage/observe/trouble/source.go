package trouble

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/kube/stream"
)

// forbiddenPause is how long nobody asks again for what we may not watch.
const forbiddenPause = 10 * time.Minute

// source is one watch, wanted or running. The watcher's lock guards it.
type source struct {
	owner  *Watcher
	target stream.Target
	open   func(context.Context, *session)
	forget func() []Key // drops all that the watch told, and returns who that may matter to

	session *session // nil while it does not run
	wanted  bool
	synced  bool // it has told its first state
	refused bool // we may not watch it
	told    bool // and have said so
	broken  bool
}

// session is one life of a watch. What comes from one that is over is not heard.
type session struct {
	source *source
	stop   context.CancelFunc
}

// want starts the watch, or ends it when nobody has wanted it for a while.
func (s *source) want(wanted bool) { //nolint:revive // wanted is the state to come to
	if s.wanted == wanted || s.owner.ctx.Err() != nil {
		return
	}
	s.wanted = wanted
	if wanted {
		s.start()
		return
	}
	idle := s.session
	time.AfterFunc(s.owner.options.Linger, func() {
		s.owner.change(func() []Key {
			if s.wanted || s.session == nil || s.session != idle {
				return nil
			}
			s.halt()
			return s.forget()
		})
	})
}

func (s *source) start() {
	if s.session != nil || s.refused || s.owner.ctx.Err() != nil {
		return
	}
	ctx, stop := context.WithCancel(s.owner.ctx)
	current := &session{source: s, stop: stop}
	s.session = current
	s.owner.tasks.Go(func() { s.open(ctx, current) })
}

func (s *source) halt() {
	if s.session != nil {
		s.session.stop()
		s.session = nil
	}
	s.synced, s.broken = false, false
}

// linked takes in whether the watch stands.
func (s *source) linked(err error) []Key {
	log := s.owner.options.Log.WithValues("resource", s.target.Resource.GroupResource().String())
	switch {
	case err == nil:
		if s.broken || s.told {
			log.Info("watch of troubles restored")
		}
		s.broken, s.told = false, false
		return nil
	case apierrors.IsForbidden(err):
		if !s.told {
			log.Info("watching is forbidden: workloads are judged by their own status alone", "cause", err.Error())
		}
		s.told, s.refused = true, true
		s.halt()
		time.AfterFunc(forbiddenPause, func() {
			s.owner.change(func() []Key {
				if s.refused = false; s.wanted {
					s.start()
				}
				return nil
			})
		})
		return s.forget()
	case !s.broken:
		s.broken = true
		log.Info("watch of troubles broken", "cause", err.Error())
	}
	return nil
}

// change makes a change under the lock and tells whom it may matter to.
func (w *Watcher) change(do func() []Key) {
	w.lock.Lock()
	if w.ctx.Err() != nil {
		w.lock.Unlock()
		return
	}
	keys := do()
	w.lock.Unlock()
	if len(keys) > 0 && w.options.Changed != nil {
		w.options.Changed(keys)
	}
}

// hear takes in what a watch brings, unless its time is over.
func (w *Watcher) hear(current *session, take func() []Key) {
	w.change(func() []Key {
		if current.source.session != current {
			return nil
		}
		return take()
	})
}

// intake is what becomes of the objects of a watch.
type intake[T any] struct {
	look    func(metav1.Object) T
	put     func(place, T) []Key
	drop    func(place) []Key
	replace func([]stream.Item[T]) []Key
}

// follow runs a watch until ctx ends.
func follow[T any](ctx context.Context, w *Watcher, current *session, into intake[T]) {
	sink := stream.Sink[T]{
		Look: into.look,
		Put: func(item stream.Item[T]) {
			w.hear(current, func() []Key { return into.put(place{item.Namespace, item.Name}, item.Value) })
		},
		Drop: func(item stream.Item[T]) {
			w.hear(current, func() []Key { return into.drop(place{item.Namespace, item.Name}) })
		},
		Replace: func(items []stream.Item[T], _ stream.Position) {
			w.hear(current, func() []Key {
				current.source.synced = true
				return into.replace(items)
			})
		},
		Link: func(err error) { w.hear(current, func() []Key { return current.source.linked(err) }) },
	}
	stream.Run(ctx, w.clients, current.source.target, sink, w.options.Log)
}

// podTarget selects the Pods that are not over.
func podTarget() stream.Target {
	return stream.Target{
		Resource: schema.GroupVersionResource{Version: "v1", Resource: "pods"},
		Fields:   "status.phase!=Succeeded,status.phase!=Failed",
	}
}

func setTarget() stream.Target {
	return stream.Target{
		Resource:     schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"},
		MetadataOnly: true,
	}
}

func eventTarget() stream.Target {
	return stream.Target{
		Resource: schema.GroupVersionResource{Version: "v1", Resource: "events"},
		Fields:   failedCreateSelector,
	}
}
