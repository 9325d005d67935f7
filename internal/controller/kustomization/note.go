package kustomization

import (
	"math/rand/v2"
	"sync"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// note is what the controller remembers of a unit between visits. Losing it costs one verification.
type note struct {
	// written is the resource as the server returned it from our last write, until the cache has it.
	written *kustomizev1.Kustomization
	// verify is when the unit is due to be checked against the cluster as a whole.
	verify time.Time
	// configured is the generation whose settings were recorded.
	configured int64
	// failures counts failed visits in a row.
	failures int
	// waiting is since when the unit has been waiting for others, zero while it is not.
	waiting time.Time
	// aside is the revision for which the unit has let others go first.
	aside string
}

type notes struct {
	lock sync.Mutex
	all  map[types.NamespacedName]*note
}

func (n *notes) of(name types.NamespacedName) *note {
	n.lock.Lock()
	defer n.lock.Unlock()
	one, found := n.all[name]
	if !found {
		one = &note{}
		n.all[name] = one
	}
	return one
}

func (n *notes) forget(name types.NamespacedName) {
	n.lock.Lock()
	defer n.lock.Unlock()
	delete(n.all, name)
}

// latest returns the newer of the cached resource and the one that we wrote last: the cache may not
// have seen our own write yet, and deciding from the older state would undo it.
func (n *note) latest(cached *kustomizev1.Kustomization) *kustomizev1.Kustomization {
	if n.written == nil || n.written.UID != cached.UID {
		n.written = nil
		return cached
	}
	order, err := resourceversion.CompareResourceVersion(n.written.ResourceVersion, cached.ResourceVersion)
	if err != nil || order <= 0 {
		n.written = nil
		return cached
	}
	return n.written.DeepCopy()
}

// firstRetry is how long the first retry waits; each further one waits twice as long.
const firstRetry = 2 * time.Second

// retry returns when to try again after another failure: soon at first, for what passes by itself,
// and at the unit's retry interval in the long run, with jitter so that many do not come at once.
func (n *note) retry(longest time.Duration) time.Duration {
	wait := firstRetry << min(n.failures, 12)
	n.failures++
	return spread(min(wait, longest), 0.1)
}

// spread adds up to a share of jitter.
func spread(wait time.Duration, share float64) time.Duration {
	return wait + time.Duration(rand.Float64()*share*float64(wait)) //nolint:gosec // jitter need not be unpredictable
}
