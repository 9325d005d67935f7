package trouble

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/kube/stream"
)

// Options steer a Watcher.
type Options struct {
	// Log receives what happens to watches. The zero value discards it.
	Log logr.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Linger is how long a watch stays that nobody needs any more.
	Linger time.Duration
	// Changed is called with workloads whose Finding may be another one now, without locks held.
	Changed func([]Key)
}

// Watcher knows the Pods of one cluster that do not come up. It is safe for concurrent use.
type Watcher struct {
	clients stream.Clients
	options Options

	ctx   context.Context //nolint:containedctx // the life of the watches, not of a request
	stop  context.CancelFunc
	tasks sync.WaitGroup

	lock     sync.Mutex
	pods     *source
	sets     *source
	events   *source
	sick     map[Key]map[string]*patient // by the workload and the Pod's name
	places   map[place]Key               // where to find a patient in sick
	newest   map[types.UID]set           // by the Deployment: its newest ReplicaSet
	refusals map[types.UID]*denial       // by the workload
}

// place is an object within its kind.
type place struct{ namespace, name string }

// New makes a Watcher, which sends no request before something is wanted. Stop it when done.
func New(clients stream.Clients, options Options) *Watcher {
	if options.Now == nil {
		options.Now = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &Watcher{
		clients: clients, options: options, ctx: ctx, stop: stop,
		sick: map[Key]map[string]*patient{}, places: map[place]Key{},
		newest: map[types.UID]set{}, refusals: map[types.UID]*denial{},
	}
	w.pods = &source{owner: w, target: podTarget(), open: w.openPods, forget: w.forgetPods}
	w.sets = &source{owner: w, target: setTarget(), open: w.openSets, forget: w.forgetSets}
	w.events = &source{owner: w, target: eventTarget(), open: w.openEvents, forget: w.forgetEvents}
	return w
}

// Stop ends all watches and waits until they have ended.
func (w *Watcher) Stop() {
	w.stop()
	w.lock.Lock()
	for _, s := range w.sources() {
		s.halt()
	}
	w.lock.Unlock()
	w.tasks.Wait()
}

func (w *Watcher) sources() []*source { return []*source{w.pods, w.sets, w.events} }

// Want says what is needed: Pods while there are workloads at all, and Events while one is not well
// whose refused Pods nothing else tells of. It returns at once.
func (w *Watcher) Want(pods, events bool) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.pods.want(pods)
	w.events.want(pods && events)
}

// Find returns what keeps a workload from coming up, and when to ask again although nothing was
// called as changed; zero for never. The well are those that are fine by their own status: they
// cannot lack Pods.
func (w *Watcher) Find(workload *Workload, well bool) (Finding, time.Time) { //nolint:revive // well is something known of the workload
	w.lock.Lock()
	defer w.lock.Unlock()
	now := w.options.Now()
	var next time.Time
	if !well {
		found, again := workload.refused(now)
		if found.Reason == "" {
			next = again
			found, again = w.denied(workload, now)
		}
		if found.Reason != "" {
			return found, time.Time{}
		}
		next = sooner(next, again)
	}
	found, again := w.sickPod(workload, now)
	if found.Reason != "" {
		return found, time.Time{}
	}
	return Finding{}, sooner(next, again)
}

// sooner returns the earlier of two times, of which a zero one never comes.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Stats are figures for metrics and tests.
type Stats struct {
	Watches int // open or being opened
	Sick    int // Pods that do not come up
}

// Stats returns the figures.
func (w *Watcher) Stats() Stats {
	w.lock.Lock()
	defer w.lock.Unlock()
	stats := Stats{Sick: len(w.places)}
	for _, s := range w.sources() {
		if s.session != nil {
			stats.Watches++
		}
	}
	return stats
}
