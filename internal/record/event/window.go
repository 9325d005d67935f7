package event

import (
	"slices"
	"sync"
	"time"
)

// maxSeen bounds how many keys a Window remembers; the oldest are forgotten first.
const maxSeen = 10_000

// Window remembers what was said lately, by key. It is safe for concurrent use.
type Window struct {
	interval time.Duration
	now      func() time.Time

	lock  sync.Mutex
	last  map[string]time.Time
	order []string // of last, oldest first
}

// NewWindow makes a Window that remembers for an interval. now may be nil.
func NewWindow(interval time.Duration, now func() time.Time) *Window {
	if now == nil {
		now = time.Now
	}
	return &Window{interval: interval, now: now, last: map[string]time.Time{}}
}

// First tells whether a key is new within the interval, and remembers it.
func (w *Window) First(key string) bool {
	w.lock.Lock()
	defer w.lock.Unlock()
	now := w.now()
	for len(w.order) > 0 && now.Sub(w.last[w.order[0]]) >= w.interval {
		w.pop()
	}
	if _, known := w.last[key]; known {
		return false
	}
	if len(w.order) >= maxSeen {
		w.pop()
	}
	w.last[key] = now
	w.order = append(w.order, key)
	return true
}

func (w *Window) pop() {
	delete(w.last, w.order[0])
	w.order = w.order[1:]
}

// forget lets a key be new again.
func (w *Window) forget(key string) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if _, known := w.last[key]; known {
		delete(w.last, key)
		w.order = slices.DeleteFunc(w.order, func(other string) bool { return other == key })
	}
}
