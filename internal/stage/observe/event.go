package observe

import (
	"context"
	"slices"
	"sync"
	"time"

	"holdfast.dev/holdfast/internal/model/object"
)

// Cause says why a unit is woken.
type Cause string

// The causes.
const (
	// Drifted: somebody changed or took over fields that are ours.
	Drifted Cause = "Drifted"
	// Gone: an object that existed was deleted, or lost its owner label (then it exists, but nothing
	// tells that it is ours). The end of a deletion of our own is told with this cause as well.
	Gone Cause = "Gone"
	// HealthChanged: the health status is another one, including the first one after NotFound.
	HealthChanged Cause = "HealthChanged"
	// RulesChanged: the live object's labels or annotations that steer its delivery are others.
	RulesChanged Cause = "RulesChanged"
	// OwnerChanged: the owner labels name another unit.
	OwnerChanged Cause = "OwnerChanged"
	// Synced: everything of a claim that was not known when the claim was made is known now, or of a
	// kind that is not served. The event has no Ref. It comes once for a claim, and not at all when
	// all was known at once.
	Synced Cause = "Synced"
	// Served: a kind in the claim that the server did not serve is served now. The event's Ref has
	// no name.
	Served Cause = "Served"
)

// Event wakes a unit.
type Event struct {
	Owner object.Owner
	Ref   object.Ref // in the API version of the unit's claim
	Cause Cause
}

// waker delivers events in their order, each once however often it was posted before its turn came.
// It gathers events for a moment: changes come in bursts, and the watch often brings a write of our
// own before its answer is read, which then takes back what the watch led us to believe.
type waker struct {
	wake      func(Event)
	gather    time.Duration
	signal    chan struct{}
	lock      sync.Mutex
	queue     []Event
	queued    map[Event]struct{} // those of the queue that were not taken back
	delivered uint64
}

func newWaker(wake func(Event), gather time.Duration) *waker {
	if wake == nil {
		wake = func(Event) {}
	}
	return &waker{wake: wake, gather: gather, signal: make(chan struct{}, 1), queued: map[Event]struct{}{}}
}

func (w *waker) post(event Event) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if _, found := w.queued[event]; found {
		return
	}
	w.queued[event] = struct{}{}
	w.queue = append(w.queue, event)
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// retract takes an event back that was not delivered yet.
func (w *waker) retract(event Event) {
	w.lock.Lock()
	defer w.lock.Unlock()
	delete(w.queued, event)
}

func (w *waker) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.signal:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.gather):
		}
		for _, event := range w.take() {
			if ctx.Err() != nil {
				return
			}
			w.wake(event)
		}
	}
}

func (w *waker) take() []Event {
	w.lock.Lock()
	defer w.lock.Unlock()
	events := slices.DeleteFunc(w.queue, func(event Event) bool {
		_, standing := w.queued[event]
		delete(w.queued, event) // posted, taken back and posted again, it is in the queue twice
		return !standing
	})
	w.queue = nil
	w.delivered += uint64(len(events))
	return events
}

func (w *waker) count() uint64 {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.delivered
}

// tell wakes the units that a change of a record matters to.
func (o *Observer) tell(r *record, was facts, from origin) {
	is := r.facts()
	for _, link := range r.links {
		causes := link.causes(was, is)
		if from == wrote && r.hasOwner && link.claim.owner == r.owner {
			o.unsay(r, link, is)
			causes = link.answered(is)
		}
		for _, cause := range causes {
			o.waker.post(Event{Owner: link.claim.owner, Ref: r.ref(link.version), Cause: cause})
		}
	}
}

// causes returns for what reasons a change matters to a unit.
func (l link) causes(was, is facts) []Cause {
	var causes []Cause
	when := func(matters bool, cause Cause) {
		if matters {
			causes = append(causes, cause)
		}
	}
	if was.exists && !is.exists {
		when(!is.expired, Gone)
		return causes
	}
	when(was.known && was.statusBy(l.judge) != is.statusBy(l.judge), HealthChanged)
	if !l.owned {
		return causes
	}
	when(!was.drifted && is.drifted, Drifted)
	if was.exists && is.exists {
		when(was.rules != is.rules, RulesChanged)
		when(was.owner != is.owner, OwnerChanged)
	}
	return causes
}

// answered returns for what reasons a unit is woken by the answer to its own write. What that write
// did it knows. But what others did between the write and its answer may have been no news when the
// watch told of it, because the unit was at work on the same trouble already. Now it is.
func (l link) answered(is facts) []Cause {
	switch {
	case !is.exists && !is.expired:
		return []Cause{Gone}
	case l.owned && is.drifted:
		return []Cause{Drifted}
	default:
		return nil
	}
}

// unsay takes back what the watch told a unit of its own write before the answer came. The unit has
// that answer now, and looks at the state after it.
func (o *Observer) unsay(r *record, l link, is facts) {
	for _, cause := range []Cause{HealthChanged, RulesChanged, OwnerChanged, Drifted} {
		if cause != Drifted || !is.drifted {
			o.waker.retract(Event{Owner: l.claim.owner, Ref: r.ref(l.version), Cause: cause})
		}
	}
}
