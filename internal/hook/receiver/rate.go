package receiver

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
)

// What one Receiver may be called: by anybody, and by those who have proven who they are. The first
// bound protects us from a flood, the second the remotes of the sources from a storm of looks. Strangers
// cannot use up the second.
const (
	callsPerSecond, callsAtOnce = 50, 200
	asksPerSecond, asksAtOnce   = 5, 60
)

// maxReceivers bounds how many are remembered; the one that was called longest ago goes.
const maxReceivers = 4096

// rates limits how often each Receiver acts.
type rates struct {
	now  func() time.Time
	lock sync.Mutex
	all  map[types.UID]*pace
}

type pace struct {
	calls, asks *rate.Limiter
	used        time.Time
}

func newRates(now func() time.Time) *rates { return &rates{now: now, all: map[types.UID]*pace{}} }

func (r *rates) mayCall(receiver types.UID) bool { return r.of(receiver).calls.AllowN(r.now(), 1) }

func (r *rates) mayAsk(receiver types.UID) bool { return r.of(receiver).asks.AllowN(r.now(), 1) }

func (r *rates) of(receiver types.UID) *pace {
	r.lock.Lock()
	defer r.lock.Unlock()
	one, found := r.all[receiver]
	if !found {
		if len(r.all) >= maxReceivers {
			r.dropOldest()
		}
		one = &pace{calls: rate.NewLimiter(callsPerSecond, callsAtOnce), asks: rate.NewLimiter(asksPerSecond, asksAtOnce)}
		r.all[receiver] = one
	}
	one.used = r.now()
	return one
}

func (r *rates) dropOldest() {
	var oldest types.UID
	for uid, one := range r.all {
		if oldest == "" || one.used.Before(r.all[oldest].used) {
			oldest = uid
		}
	}
	delete(r.all, oldest)
}
