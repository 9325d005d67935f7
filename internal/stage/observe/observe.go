package observe

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe/trouble"
)

// Options steer an Observer.
type Options struct {
	// Manager is the field manager that our server-side applies use; its managed-fields entry tells
	// whether somebody changed what is ours.
	Manager string
	// Family is the kind of the units whose objects are watched.
	Family object.Family
	// Wake is called for each event, without locks held and from one goroutine only. It must not
	// block. Events that are equal and not yet delivered are delivered once. Nil drops them.
	Wake func(Event)
	// Log receives what happens to watches. The zero value discards it.
	Log logr.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Linger is how long the watch of a kind stays that nobody claims any more; 0 means 2 minutes.
	Linger time.Duration
	// Gather is how long events are held back so that bursts come as one, and what our own writes
	// caused is not told at all; 0 means 10 ms.
	Gather time.Duration
}

const (
	defaultLinger = 2 * time.Minute
	defaultGather = 10 * time.Millisecond
)

// Observer watches the objects of one cluster for any number of units. It is safe for concurrent use.
type Observer struct {
	cluster *kube.Cluster
	options Options
	waker   *waker
	trouble *trouble.Watcher
	hashers sync.Pool

	ctx   context.Context //nolint:containedctx // the life of the watches, not of a request
	stop  context.CancelFunc
	tasks sync.WaitGroup
	kick  chan struct{} // the tender has something to look at

	lock        sync.RWMutex
	kinds       map[schema.GroupKind]*kind
	claims      map[object.Owner]*claim
	feeds       map[*feed]struct{}
	unread      map[*record]struct{} // to be read again
	lacking     map[*record]struct{} // workloads that may lack Pods for a reason that Events alone tell
	reading     bool
	definitions *definitions
	owners      map[object.Owner]object.Owner // each owner's strings once
	events      uint64
	rereads     uint64
}

// New makes an Observer, which sends no request before the first claim. Stop it when done.
func New(cluster *kube.Cluster, options Options) *Observer {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Linger == 0 {
		options.Linger = defaultLinger
	}
	if options.Gather == 0 {
		options.Gather = defaultGather
	}
	ctx, stop := context.WithCancel(context.Background())
	o := &Observer{
		cluster: cluster,
		options: options,
		waker:   newWaker(options.Wake, options.Gather),
		ctx:     ctx,
		stop:    stop,
		kick:    make(chan struct{}, 1),
		kinds:   map[schema.GroupKind]*kind{},
		claims:  map[object.Owner]*claim{},
		feeds:   map[*feed]struct{}{},
		unread:  map[*record]struct{}{},
		lacking: map[*record]struct{}{},
		owners:  map[object.Owner]object.Owner{},
	}
	o.trouble = trouble.New(cluster, trouble.Options{
		Log: options.Log, Now: options.Now, Linger: options.Linger, Changed: o.troubled,
	})
	o.hashers.New = func() any { return &hasher{} }
	o.tasks.Go(o.tend)
	o.tasks.Go(func() { o.waker.run(ctx) })
	return o
}

// Stop ends all watches and waits until they have ended. No event is delivered after it returns.
func (o *Observer) Stop() {
	o.stop()
	o.trouble.Stop()
	o.tasks.Wait()
}

// hurry has the tender look at once.
func (o *Observer) hurry() {
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

// kindOf returns what is known of a kind, and begins to if need be.
func (o *Observer) kindOf(gk schema.GroupKind) *kind {
	k := o.kinds[gk]
	if k == nil {
		k = &kind{gk: gk, records: map[place]*record{}}
		o.kinds[gk] = k
	}
	return k
}

func (k *kind) record(at place) *record {
	r := k.records[at]
	if r == nil {
		r = &record{kind: k, at: at}
		k.records[at] = r
	}
	return r
}

// tidy drops a record that nobody needs: the object is gone and no unit asks for it.
func (o *Observer) tidy(r *record) {
	if len(r.links) > 0 || r.feed != nil || r.exists && r.kind.feed != nil {
		return
	}
	delete(r.kind.records, r.at)
	delete(o.unread, r)
	delete(o.lacking, r)
	if len(r.kind.records) == 0 && r.kind.feed == nil {
		delete(o.kinds, r.kind.gk)
	}
}

// intern returns an owner whose strings are shared by all records of the owner's objects.
func (o *Observer) intern(owner object.Owner) object.Owner {
	if known, found := o.owners[owner]; found {
		return known
	}
	o.owners[owner] = owner
	return owner
}
