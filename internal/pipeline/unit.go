package pipeline

import (
	"sync"
	"time"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// unit is what the line remembers of a unit between passes. It is a cache: losing it, as a restart
// does, costs one dry-run of each object and nothing else.
type unit struct {
	memory  apply.Memory
	checked string // fingerprint that passed was made of, empty when it may change
	passed  check.Passed
	applied check.Passed // the latest set that was written as a whole
	site    *observe.Observer
	now     time.Time // of the pass that is under way
	secrets secrets   // in what was rendered last
	fights  fights
	wait    wait
	started bool // a pass has been made since the program started
	looks   int  // passes put off until the watches are in sync
	// readable are the health checks that the unit's own identity may look at.
	readable map[object.Ref]bool
}

// begin starts a pass. What is remembered of another cluster means nothing in this one.
func (u *unit) begin(at Site, now time.Time) {
	if u.site != at.Observer {
		*u = unit{memory: apply.Memory{}, fights: fights{}, site: at.Observer}
	}
	u.now = now
}

// wait is a wait for health: what for, since when, and whether it ended well.
type wait struct {
	fingerprint string
	since       time.Time
	over        bool
}

// units keeps one unit for each owner. A unit itself belongs to one pass at a time; its queue sees
// to that.
type units struct {
	lock sync.Mutex
	all  map[object.Owner]*unit
}

func (u *units) of(owner object.Owner) *unit {
	u.lock.Lock()
	defer u.lock.Unlock()
	one, found := u.all[owner]
	if !found {
		one = &unit{memory: apply.Memory{}, fights: fights{}}
		if u.all == nil {
			u.all = map[object.Owner]*unit{}
		}
		u.all[owner] = one
	}
	return one
}

func (u *units) forget(owner object.Owner) {
	u.lock.Lock()
	defer u.lock.Unlock()
	delete(u.all, owner)
}
