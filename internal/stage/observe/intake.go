package observe

import (
	"time"

	"holdfast.dev/holdfast/internal/kube/stream"
	"holdfast.dev/holdfast/internal/model/object"
)

// take lets a record admit a sighting and tells what that changed. The lock is held.
func (o *Observer) take(r *record, s sighting, from origin) {
	was := r.facts()
	s.owner = o.intern(s.owner)
	now := o.options.Now()
	o.weigh(r, &s, now)
	r.admit(s, from, now)
	o.attend(r)
	o.tell(r, was, from)
	if r.unjudged() {
		o.unread[r] = struct{}{}
		o.hurry()
	}
	if r.version == s.version && !s.verdict.ripens.IsZero() {
		time.AfterFunc(s.verdict.ripens.Sub(now), func() { o.ripen(r, s) })
	}
}

// ripen changes a verdict that was bound to change unless the object did.
func (o *Observer) ripen(r *record, s sighting) {
	o.lock.Lock()
	defer o.lock.Unlock()
	if o.ctx.Err() != nil || !r.exists || r.version != s.version || r.uid != s.uid {
		return
	}
	was := r.facts()
	r.judged(verdict{status: s.verdict.ripe, reason: Unschedulable, message: "Pod could not be scheduled"}, o.options.Now())
	o.tell(r, was, watched)
}

func (o *Observer) put(f *feed, item stream.Item[sighting]) {
	o.events++
	f.top = item.ResourceVersion
	r := f.only
	if r == nil {
		r = f.kind.record(place{item.Namespace, item.Name})
	}
	o.take(r, item.Value, watched)
}

func (o *Observer) drop(f *feed, item stream.Item[sighting]) {
	o.events++
	f.top = item.ResourceVersion
	r := f.only
	if r == nil {
		r = f.kind.records[place{item.Namespace, item.Name}]
	}
	if r == nil || f.only == nil && r.feed.inSync() {
		return // its own feed knows better: it may have lost its label only
	}
	o.finish(r, item.ResourceVersion)
}

// finish ends a record and tells so.
func (o *Observer) finish(r *record, version string) {
	was := r.facts()
	r.end(version, o.options.Now())
	o.attend(r)
	o.tell(r, was, watched)
	o.tidy(r)
}

// replace takes in a complete list. What it lacks is gone, unless that is newer than the list: lists
// may come from a cache of the server's that lags behind our own writes.
func (o *Observer) replace(f *feed, items []stream.Item[sighting], at stream.Position) {
	if at.Latest && older(at.ResourceVersion, f.top) {
		// The latest state is before what we have seen: history was turned back, as a restored backup
		// does. What we know from the other future must not win over what is.
		f.forgetVersions()
	}
	f.top = at.ResourceVersion
	o.events += uint64(len(items))
	if f.only != nil {
		if len(items) == 0 && f.only.exists {
			o.finish(f.only, at.ResourceVersion)
		}
		for _, item := range items {
			o.take(f.only, item.Value, watched)
		}
	} else {
		o.replaceAll(f, items, at)
	}
	f.tries = 0
	first := !f.synced
	f.synced = true
	if first {
		o.settle(f)
	}
	if f.unserved {
		f.unserved = false
		o.announce(f)
		o.hurry() // perhaps the definitions need no watch any more
	}
}

// replaceAll takes in a complete list of a kind.
func (o *Observer) replaceAll(f *feed, items []stream.Item[sighting], at stream.Position) {
	k := f.kind
	k.round++
	for _, item := range items {
		r := k.record(place{item.Namespace, item.Name})
		r.round = k.round
		o.take(r, item.Value, watched)
	}
	for _, r := range k.records {
		if r.round == k.round || !r.exists || r.feed.inSync() {
			continue
		}
		o.finish(r, at.ResourceVersion) // nothing happens if the record is newer
	}
}

// forgetVersions makes records open to whatever comes next, however old it seems.
func (f *feed) forgetVersions() {
	if f.only != nil {
		f.only.version, f.only.expectedAt = "", ""
		return
	}
	for _, r := range f.kind.records {
		r.version, r.expectedAt = "", ""
	}
}

// settle tells the claims that waited for a feed. Those that wait for no other are woken.
func (o *Observer) settle(f *feed) {
	for held := range f.waiters {
		delete(held.waiting, f)
		if len(held.waiting) == 0 {
			o.waker.post(Event{Owner: held.owner, Cause: Synced})
		}
	}
	clear(f.waiters)
}

// announce wakes the units with objects of a kind that is served from now on.
func (o *Observer) announce(f *feed) {
	told := map[*claim]bool{}
	for _, r := range f.kind.records {
		for _, link := range r.links {
			if told[link.claim] {
				continue
			}
			told[link.claim] = true
			ref := object.Ref{Group: f.kind.gk.Group, Version: link.version, Kind: f.kind.gk.Kind}
			o.waker.post(Event{Owner: link.claim.owner, Ref: ref, Cause: Served})
		}
	}
}
