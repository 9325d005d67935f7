package stream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
)

// maxSilence is how long a watch may bring nothing, not even the bookmarks that servers send once a
// minute, until it counts as broken. It is held against servers only that do send bookmarks.
const maxSilence = 3 * time.Minute

// source answers the reflector's requests with carriers instead of objects, so that an object lives
// only from its decoding to Look.
type source[T any] struct {
	open    opener
	target  Target
	sink    Sink[T]
	silence time.Duration
	relays  sync.WaitGroup

	// The reflector lists and watches in turn, never at the same time; these belong to that order.
	latest bool  // the last list, or streamed list, was asked for as of now
	held   error // why a streamed list was refused; a plain one would be refused as well

	bookmarks atomic.Bool // the server sends bookmarks, so its silence means something
}

func (s *source[T]) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	if err := s.held; err != nil {
		s.held = nil
		return nil, err
	}
	if options.Continue == "" {
		s.latest = options.ResourceVersion == ""
	}
	s.selectInto(&options)
	page, err := s.open.list(ctx, options)
	if err != nil {
		s.fail(ctx, err)
		return nil, err
	}
	result := &carriers[T]{ListMeta: page.meta, Items: make([]*carrier[T], 0, page.length)}
	page.each(func(object metav1.Object) { result.Items = append(result.Items, s.carry(object)) })
	return result, nil
}

func (s *source[T]) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	streamed := options.SendInitialEvents != nil && *options.SendInitialEvents
	if streamed {
		s.latest = options.ResourceVersion == ""
	}
	s.selectInto(&options)
	inner, err := s.open.watch(ctx, options)
	if err != nil {
		s.fail(ctx, err)
		if streamed && refuses(err) {
			// The reflector would wait without regard to ctx, or ask for a list in vain.
			s.held = err
			return nil, errors.New(err.Error())
		}
		return nil, err
	}
	if !streamed {
		s.sink.Link(nil)
	}
	relay := &relay[T]{from: s, inner: inner, out: make(chan watch.Event), done: make(chan struct{})}
	s.relays.Go(relay.loop)
	return relay, nil
}

// refuses tells whether the server, or its absence, turns down lists as well as watches.
func refuses(err error) bool {
	return utilnet.IsConnectionRefused(err) || apierrors.IsTooManyRequests(err) || apierrors.IsForbidden(err) ||
		apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err)
}

func (s *source[T]) fail(ctx context.Context, err error) {
	if ctx.Err() == nil {
		s.sink.Link(err)
	}
}

func (s *source[T]) selectInto(options *metav1.ListOptions) {
	options.LabelSelector, options.FieldSelector = s.target.Labels, s.target.Fields
}

func (s *source[T]) carry(object metav1.Object) *carrier[T] {
	return &carrier[T]{item: Item[T]{
		Namespace:       object.GetNamespace(),
		Name:            object.GetName(),
		ResourceVersion: object.GetResourceVersion(),
		Value:           s.sink.Look(object),
	}}
}

// relay passes the events of a watch on as carriers, and ends it when it fell silent.
type relay[T any] struct {
	from  *source[T]
	inner watch.Interface
	out   chan watch.Event
	done  chan struct{}
	once  sync.Once
}

// ResultChan implements watch.Interface.
func (r *relay[T]) ResultChan() <-chan watch.Event { return r.out }

// Stop implements watch.Interface.
func (r *relay[T]) Stop() {
	r.once.Do(func() {
		close(r.done)
		r.inner.Stop()
	})
}

func (r *relay[T]) loop() {
	defer close(r.out)
	defer r.inner.Stop()
	silence := time.NewTimer(r.from.silence)
	defer silence.Stop()
	for {
		select {
		case <-r.done:
			return
		case <-silence.C:
			if r.from.bookmarks.Load() {
				return // the reflector watches again, from the last event
			}
			silence.Reset(r.from.silence)
		case event, open := <-r.inner.ResultChan():
			if !open {
				return
			}
			silence.Reset(r.from.silence)
			select {
			case r.out <- r.translate(event):
			case <-r.done:
				return
			}
		}
	}
}

func (r *relay[T]) translate(event watch.Event) watch.Event {
	object, ok := event.Object.(metav1.Object)
	if !ok || event.Type == watch.Error {
		return event
	}
	if event.Type == watch.Bookmark {
		r.from.bookmarks.Store(true)
		event.Object = &carrier[T]{
			item:        Item[T]{ResourceVersion: object.GetResourceVersion()},
			annotations: object.GetAnnotations(),
		}
		return event
	}
	event.Object = r.from.carry(object)
	return event
}
