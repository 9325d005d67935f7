package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Target says what to watch.
type Target struct {
	Resource schema.GroupVersionResource
	// Namespace is empty for all namespaces and for resources that have none.
	Namespace string
	// Labels and Fields are selectors; empty ones select everything.
	Labels, Fields string
	// MetadataOnly leaves the content of the objects on the server.
	MetadataOnly bool
	// Narrow, where it is set and Namespace is not, names the namespaces to watch one by one when the
	// server forbids to watch them all. It is asked when that happens, by any goroutine.
	Narrow func() []string
}

// One selects a single object by its name.
func One(name string) string { return "metadata.name=" + name }

// Clients are the ways to the cluster. Metadata is needed for targets that are MetadataOnly.
type Clients interface {
	Dynamic() dynamic.Interface
	Metadata() metadata.Interface
}

// Position tells which moment of the cluster's history a list shows.
type Position struct {
	ResourceVersion string
	// Latest tells that the list was as new as the cluster at the time of asking. Otherwise it may
	// be older than what the stream brought before.
	Latest bool
}

// Sink is the one who takes in what a stream brings. All functions are required. Look runs ahead of
// the others; those come one after the other.
type Sink[T any] struct {
	// Look makes a value of an object, a *unstructured.Unstructured or, for targets that are
	// MetadataOnly, a *metav1.PartialObjectMetadata. It must not keep the object unless it wants all
	// of it.
	Look func(object metav1.Object) T
	// Replace brings everything that exists, at the start and whenever the thread was lost.
	Replace func(items []Item[T], at Position)
	// Put brings an object that was created or changed.
	Put func(item Item[T])
	// Drop brings the end of an object, or that it is not selected any more.
	Drop func(item Item[T])
	// Link tells whether the stream is connected: err is nil, or why it is not. A stream goes on
	// trying after every error, with growing pauses.
	Link func(err error)
}

// pauses between attempts grow from the first to the last, each prolonged by up to as much again, so
// that many watches do not come back at the same moment.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 15 * time.Second
	pauses     = 7 // doublings from the first to the last
)

// Run streams until ctx is done, and returns when everything that it started has ended.
func Run[T any](ctx context.Context, clients Clients, target Target, sink Sink[T], log logr.Logger) {
	open := func(namespace string) opener { return openerFor(clients, target, namespace) }
	if target.Narrow == nil || target.Namespace != "" {
		run(ctx, &source[T]{open: open(target.Namespace), target: target, sink: sink, silence: maxSilence}, log)
		return
	}
	across(ctx, open, target, sink, log)
}

func run[T any](ctx context.Context, from *source[T], log logr.Logger) {
	quiet := log.V(2) // the reflector's "info" is our debug
	lister := &cache.ListWatch{ListWithContextFunc: from.list, WatchFuncWithContext: from.watch}
	reflector := cache.NewReflectorWithOptions(lister, nil, &store[T]{from: from}, cache.ReflectorOptions{
		Logger:          &quiet,
		Name:            from.target.Resource.String(),
		TypeDescription: from.target.Resource.GroupResource().String(),
		Backoff:         &wait.Backoff{Duration: firstPause, Factor: 2, Jitter: 1, Steps: pauses, Cap: lastPause},
	})
	// What the reflector logs by way of the context are errors that the sink was told already.
	reflector.RunWithContext(klog.NewContext(ctx, logr.Discard()))
	from.relays.Wait()
}

// store is the reflector's view of the sink.
type store[T any] struct{ from *source[T] }

func (s *store[T]) Add(object any) error    { return s.put(object) }
func (s *store[T]) Update(object any) error { return s.put(object) }
func (s *store[T]) Resync() error           { return nil }

func (s *store[T]) put(object any) error {
	carried, err := unpack[T](object)
	if err == nil {
		s.from.sink.Put(carried.item)
	}
	return err
}

func (s *store[T]) Delete(object any) error {
	carried, err := unpack[T](object)
	if err == nil {
		s.from.sink.Drop(carried.item)
	}
	return err
}

func (s *store[T]) Replace(objects []any, resourceVersion string) error {
	items := make([]Item[T], 0, len(objects))
	for _, object := range objects {
		carried, err := unpack[T](object)
		if err != nil {
			return err
		}
		items = append(items, carried.item)
	}
	s.from.sink.Replace(items, Position{ResourceVersion: resourceVersion, Latest: s.from.latest})
	s.from.sink.Link(nil)
	return nil
}

func unpack[T any](object any) (*carrier[T], error) {
	carried, ok := object.(*carrier[T])
	if !ok {
		return nil, fmt.Errorf("unexpected %T in a watch", object)
	}
	return carried, nil
}
