package delivery

import (
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Note is what a controller remembers of a unit between visits. Losing it costs one verification.
type Note[T client.Object] struct {
	// Written is the resource as the server returned it from our last write, until the cache has it.
	Written T
	// Verify is when the unit is due to be checked against the cluster as a whole.
	Verify time.Time
	// Configured is the generation whose settings were recorded.
	Configured int64
	// Requested is the token of the latest request that was recorded.
	Requested string
	// Failures counts failed visits in a row.
	Failures int
	// Waiting is since when the unit has been waiting for others, zero while it is not.
	Waiting time.Time
	// Aside is the revision for which the unit has let others go first.
	Aside string
}

// Notes keeps one note for each unit.
type Notes[T client.Object] struct {
	lock sync.Mutex
	all  map[types.NamespacedName]*Note[T]
}

// Of returns the note of a unit.
func (n *Notes[T]) Of(name types.NamespacedName) *Note[T] {
	n.lock.Lock()
	defer n.lock.Unlock()
	one, found := n.all[name]
	if !found {
		one = &Note[T]{}
		if n.all == nil {
			n.all = map[types.NamespacedName]*Note[T]{}
		}
		n.all[name] = one
	}
	return one
}

// Forget drops the note of a unit.
func (n *Notes[T]) Forget(name types.NamespacedName) {
	n.lock.Lock()
	defer n.lock.Unlock()
	delete(n.all, name)
}

// Latest returns the newer of the cached resource and the one that we wrote last: the cache may not
// have seen our own write yet, and deciding from the older state would undo it.
func (n *Note[T]) Latest(cached T) T {
	var none T
	if client.Object(n.Written) == client.Object(none) || n.Written.GetUID() != cached.GetUID() {
		n.Written = none
		return cached
	}
	order, err := resourceversion.CompareResourceVersion(n.Written.GetResourceVersion(), cached.GetResourceVersion())
	if err != nil || order <= 0 {
		n.Written = none
		return cached
	}
	latest, _ := n.Written.DeepCopyObject().(T)
	return latest
}

// firstRetry is how long the first retry waits; each further one waits twice as long.
const firstRetry = 2 * time.Second

// Retry returns when to try again after another failure: soon at first, for what passes by itself,
// and at the unit's retry interval in the long run, with jitter so that many do not come at once.
func (n *Note[T]) Retry(longest time.Duration) time.Duration {
	wait := firstRetry << min(n.Failures, 12)
	n.Failures++
	return Spread(min(wait, longest), 0.1)
}

// Within tells whether less than grace has passed since the unit began to wait for others.
func (n *Note[T]) Within(grace time.Duration, now time.Time) bool {
	if n.Waiting.IsZero() {
		n.Waiting = now
	}
	return now.Sub(n.Waiting) < grace
}

// Spread adds up to a share of jitter.
func Spread(wait time.Duration, share float64) time.Duration {
	return wait + time.Duration(rand.Float64()*share*float64(wait)) //nolint:gosec // jitter need not be unpredictable
}

// Soonest returns the shorter of two waits, where 0 is none.
func Soonest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
