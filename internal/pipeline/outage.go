package pipeline

import (
	"sync"
	"time"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe"
)

const (
	// outageUnits are how many units, which nobody changed, have to become unhealthy within outageTime
	// for that to be taken for an outage of nodes or network.
	outageUnits = 3
	outageTime  = time.Minute
	// outagePause is when to judge again what was put off because of an outage.
	outagePause = 15 * time.Second
)

// outages are the circuit breaker of rollbacks: it remembers when units that nobody changed became
// unhealthy.
type outages struct {
	lock  sync.Mutex
	since map[object.Owner]time.Time
}

// report notes how a unit fares that nobody changed.
func (o *outages) report(unit object.Owner, unhealthy bool, now time.Time) {
	o.lock.Lock()
	defer o.lock.Unlock()
	if !unhealthy {
		delete(o.since, unit)
		return
	}
	if o.since == nil {
		o.since = map[object.Owner]time.Time{}
	}
	if _, known := o.since[unit]; !known {
		o.since[unit] = now
	}
}

// open tells whether so many units became unhealthy of late that no release is to blame.
func (o *outages) open(now time.Time) bool {
	o.lock.Lock()
	defer o.lock.Unlock()
	recent := 0
	for _, since := range o.since {
		if now.Sub(since) < outageTime {
			recent++
		}
	}
	return recent >= outageUnits
}

func (o *outages) forget(unit object.Owner) {
	o.lock.Lock()
	defer o.lock.Unlock()
	delete(o.since, unit)
}

// broken tells whether an object that is there has failed.
func broken(state observe.State) bool {
	return state.Known && state.Exists && state.Health.Status == observe.Failed
}
