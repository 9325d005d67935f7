package alert

import (
	"math/rand/v2"
	"sync"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/record/event"
)

// queue holds the deliveries that wait, in one lane for each provider. A lane sends one message at a
// time, at its provider's rate, and pauses as a whole while its provider is in trouble. Within a lane
// the messages of one story keep their order; other stories pass a message that waits.
type queue struct {
	Limits
	lock  sync.Mutex
	lanes map[string]*lane
}

type lane struct {
	waiting  []*delivery // by number
	busy     bool
	failures int // in a row
	resumes  time.Time
	budget   float64 // messages that may be sent now
	counted  time.Time
}

func newQueue(limits Limits) *queue {
	return &queue{Limits: limits, lanes: map[string]*lane{}}
}

// add puts a delivery at the end of its lane, and returns the one that has to go for it, if any: the
// oldest that is no failure, or else the oldest.
func (q *queue) add(one *delivery, now time.Time) (dropped *delivery) {
	q.lock.Lock()
	defer q.lock.Unlock()
	l := q.lanes[one.lane()]
	if l == nil {
		l = &lane{budget: q.Burst, counted: now}
		q.lanes[one.lane()] = l
	}
	if len(l.waiting) >= q.Waiting {
		at := 0
		for i, other := range l.waiting {
			if other.Event.Severity != event.Error && !other.Recovery {
				at = i
				break
			}
		}
		dropped = l.waiting[at]
		l.waiting = append(l.waiting[:at:at], l.waiting[at+1:]...)
	}
	l.waiting = append(l.waiting, one)
	return dropped
}

// next returns a delivery whose turn it is, and makes its lane busy. Where there is none it says how
// long nothing will change by itself.
func (q *queue) next(now time.Time) (*delivery, time.Duration) {
	q.lock.Lock()
	defer q.lock.Unlock()
	wait := time.Hour
	for name, l := range q.lanes {
		if len(l.waiting) == 0 && !l.busy && l.failures == 0 && l.refilled(q.Limits, now) >= q.Burst {
			delete(q.lanes, name) // nothing to remember
			continue
		}
		one, pause := l.next(q.Limits, now)
		if one != nil {
			return one, 0
		}
		wait = min(wait, pause)
	}
	return nil, wait
}

func (l *lane) next(limits Limits, now time.Time) (*delivery, time.Duration) {
	wait := time.Hour
	if l.busy || len(l.waiting) == 0 {
		return nil, wait
	}
	if pause := l.resumes.Sub(now); pause > 0 {
		return nil, pause
	}
	told := map[string]bool{}
	for _, one := range l.waiting {
		story := one.story()
		if told[story] {
			continue
		}
		told[story] = true
		if pause := one.After.Sub(now); pause > 0 {
			wait = min(wait, pause)
			continue
		}
		if l.refilled(limits, now) < 1 {
			return nil, time.Duration((1 - l.budget) / limits.Rate * float64(time.Second))
		}
		l.budget--
		l.busy = true
		return one, 0
	}
	return nil, wait
}

// refilled returns how many messages may be sent now.
func (l *lane) refilled(limits Limits, now time.Time) float64 {
	if passed := now.Sub(l.counted); passed > 0 {
		l.budget = min(limits.Burst, l.budget+passed.Seconds()*limits.Rate)
		l.counted = now
	}
	return l.budget
}

// ending is what became of an attempt.
type ending struct {
	gone    bool // the delivery is no longer in the queue
	dead    bool // because nothing more is tried
	first   bool // it is the first failure after things went well
	healed  bool // it is the first success after failures
	waiting int  // in the lane
}

// finish takes the outcome of an attempt, and decides whether there is another one.
func (q *queue) finish(one *delivery, err error, now time.Time) ending {
	q.lock.Lock()
	defer q.lock.Unlock()
	l := q.lanes[one.lane()]
	l.busy = false
	end := ending{gone: err == nil}
	if err == nil {
		end.healed = l.failures > 0
		l.failures = 0
	} else {
		one.Attempts++
		l.failures++
		end.first = l.failures == 1
		end.dead = fault.KindOf(err) == fault.Stalled || one.Attempts >= q.Attempts || now.Sub(one.Since) >= q.Age
		end.gone = end.dead
		if fault.KindOf(err) == fault.Stalled {
			l.failures, end.first = 0, false // it is the message, not the provider
		} else {
			pause := max(fault.AfterOf(err), q.backoff(one.Attempts))
			one.After = now.Add(pause)
			l.resumes = now.Add(max(fault.AfterOf(err), min(q.backoff(l.failures), time.Minute)))
		}
	}
	if end.gone {
		l.remove(one)
	}
	end.waiting = len(l.waiting)
	return end
}

func (l *lane) remove(one *delivery) {
	for i, other := range l.waiting {
		if other == one {
			l.waiting = append(l.waiting[:i:i], l.waiting[i+1:]...)
			return
		}
	}
}

// backoff is the pause after a number of failures, spread so that not all come back at once.
func (q *queue) backoff(failures int) time.Duration {
	pause := q.Backoff << min(failures-1, 20)
	if pause <= 0 || pause > q.MaxBackoff {
		pause = q.MaxBackoff
	}
	return time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // it only spreads load
}

// count returns how many deliveries wait.
func (q *queue) count() int {
	q.lock.Lock()
	defer q.lock.Unlock()
	sum := 0
	for _, l := range q.lanes {
		sum += len(l.waiting)
	}
	return sum
}

// oldest returns for how long the oldest message has been waiting; 0 where none is.
func (q *queue) oldest(now time.Time) time.Duration {
	q.lock.Lock()
	defer q.lock.Unlock()
	var longest time.Duration
	for _, one := range q.lanes {
		if len(one.waiting) > 0 {
			longest = max(longest, now.Sub(one.waiting[0].Since))
		}
	}
	return longest
}
