package pipeline

import (
	"sync"
	"time"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline/phase"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// unit is what the line remembers of a unit between passes. It is a cache: losing it, as a restart
// does, costs one dry-run of each object and nothing else.
type unit struct {
	memory  apply.Memory
	checked checked             // what passed was made of, empty when it may change
	passed  check.Passed        // with hooks
	doomed  map[object.Ref]bool // what passed was allowed to delete, by Ref.Key
	claimed check.Passed        // that the observer was told of last
	applied check.Passed        // the latest set that was written as a whole
	site    *observe.Observer
	now     time.Time // of the pass that is under way
	secrets secrets   // in what was rendered of late
	fights  fights
	wait    wait
	book    release.Book
	stood   numbered // the set that the cluster is on, where it is at hand
	trial   trial
	started bool // a pass has been made since the program started
	behind  bool // what stands was not written as a whole since then
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

// numbered is what a release consists of, and the hooks that run for it.
type numbered struct {
	number int64
	set    check.Passed
	hooks  check.Passed
}

// trial is what was seen of the release that is under judgement.
type trial struct {
	number int64
	// changed are the objects in which it differs from the release before, by Ref.Key; nil while that
	// is not known, as after a restart.
	changed map[object.Ref]bool
	counts  release.Counts
	made    []object.Ref
	stages  []release.Stage
	healthy time.Time            // since when all is healthy
	was     bool                 // all was healthy once
	bad     time.Time            // since when something speaks against it
	back    time.Time            // since when its undoing is waited for
	told    map[record.Kind]bool // which of its conclusions are on record
	// tidied are the moments whose hooks are through, began the hooks that were made since the program
	// started, and untested says that a failed test was told.
	tidied   map[phase.Moment]bool
	began    map[object.Ref]bool
	untested bool
}

// try returns what was seen of a release, from now on of this one alone.
func (u *unit) try(number int64) *trial {
	if u.trial.number != number {
		u.trial = trial{number: number}
	}
	return &u.trial
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
