package observe

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/model/object"
)

// Claim is what a unit needs observed.
type Claim struct {
	Owner object.Owner
	// Owned are the objects that the unit applied or will apply. They carry its owner labels.
	Owned []object.Ref
	// Others are objects whose state matters to the unit, whoever they belong to. Those that are
	// among Owned, too, are passed over.
	Others []object.Ref
	// Health are rules by which this unit judges certain kinds, instead of the built-in ones.
	Health []HealthExpr
}

// claim is what the observer holds of a unit's claim.
type claim struct {
	owner   object.Owner
	exprs   []HealthExpr
	judges  *Judges
	entries []entry
	round   uint32
	waiting map[*feed]struct{} // whose first state is still to come
}

// entry is one object of a claim.
type entry struct {
	record  *record
	version string
	owned   bool
}

// Claim replaces what a unit needs observed and returns at once: watches for kinds that come into
// use start in the background. An error means that a health expression is not valid; the former
// claim then stays.
func (o *Observer) Claim(wanted Claim) error {
	judges, err := o.judgesFor(wanted)
	if err != nil {
		return err
	}
	o.lock.Lock()
	defer o.lock.Unlock()
	held := o.claims[wanted.Owner]
	if held == nil {
		held = &claim{owner: o.intern(wanted.Owner)}
		o.claims[wanted.Owner] = held
	}
	if held.same(wanted) {
		return nil
	}
	former := held.entries
	held.exprs, held.judges = slices.Clone(wanted.Health), judges
	held.entries = make([]entry, 0, len(wanted.Owned)+len(wanted.Others))
	held.round++
	for _, ref := range wanted.Owned {
		o.link(held, ref, true)
	}
	for _, ref := range wanted.Others {
		o.link(held, ref, false)
	}
	for _, one := range former {
		o.unlink(held, one)
	}
	o.await(held)
	o.hurry()
	return nil
}

// judgesFor compiles the health expressions of a claim, unless they are those of the former one.
func (o *Observer) judgesFor(wanted Claim) (*Judges, error) {
	o.lock.RLock()
	held := o.claims[wanted.Owner]
	o.lock.RUnlock()
	if held != nil && slices.Equal(held.exprs, wanted.Health) {
		return held.judges, nil
	}
	return Compile(wanted.Health)
}

// same tells whether a claim asks for what is held already, in the same order.
func (c *claim) same(wanted Claim) bool {
	if len(c.entries) != len(wanted.Owned)+len(wanted.Others) || !slices.Equal(c.exprs, wanted.Health) {
		return false
	}
	for i, one := range c.entries {
		ref, owned := object.Ref{}, i < len(wanted.Owned)
		if owned {
			ref = wanted.Owned[i]
		} else {
			ref = wanted.Others[i-len(wanted.Owned)]
		}
		if one.owned != owned || one.record.ref(one.version) != ref {
			return false
		}
	}
	return true
}

// Release drops the claim of a unit.
func (o *Observer) Release(owner object.Owner) {
	o.lock.Lock()
	defer o.lock.Unlock()
	held := o.claims[owner]
	if held == nil {
		return
	}
	delete(o.claims, owner)
	entries := held.entries
	held.entries = nil
	held.round++
	for _, one := range entries {
		o.unlink(held, one)
	}
	o.await(held)
	o.hurry()
}

// link notes a unit's interest in an object. Of several for the same object, owning it wins.
func (o *Observer) link(held *claim, ref object.Ref, owned bool) {
	gk := schema.GroupKind{Group: ref.Group, Kind: ref.Kind}
	r := o.kindOf(gk).record(place{ref.Namespace, ref.Name})
	at := slices.IndexFunc(r.links, func(l link) bool { return l.claim == held })
	next := link{claim: held, version: ref.Version, judge: held.judges.of(gk), round: held.round, owned: owned}
	if at >= 0 && r.links[at].round == held.round {
		return // twice in one claim
	}
	held.entries = append(held.entries, entry{record: r, version: ref.Version, owned: owned})
	if at < 0 {
		r.links = append(r.links, next)
		o.use(r, next)
	} else {
		before := r.links[at]
		r.links[at] = next
		if before.owned != owned || before.version != next.version {
			o.use(r, next)
			o.disuse(r, before)
		}
	}
	if r.unjudged() {
		o.unread[r] = struct{}{}
	}
}

// unlink ends the interest that an entry of a former claim stood for, if the new one does not renew it.
func (o *Observer) unlink(held *claim, former entry) {
	r := former.record
	at := slices.IndexFunc(r.links, func(l link) bool { return l.claim == held })
	if at < 0 || r.links[at].round == held.round {
		return
	}
	gone := r.links[at]
	r.links = slices.Delete(r.links, at, at+1)
	if len(r.links) == 0 {
		r.links = nil
	}
	o.disuse(r, gone)
	o.tidy(r)
}

// use counts a link on the feed that serves it, and makes that feed if there is none.
func (o *Observer) use(r *record, l link) {
	f := r.kind.feed
	if !l.owned {
		f = r.feed
	}
	if f == nil {
		f = &feed{kind: r.kind, version: l.version, versions: map[string]int{}, waiters: map[*claim]struct{}{}}
		o.feeds[f] = struct{}{}
		if l.owned {
			r.kind.feed = f
		} else {
			r.feed, f.only = f, r
		}
	}
	f.users++
	f.versions[l.version]++
}

func (o *Observer) disuse(r *record, l link) {
	f := r.kind.feed
	if !l.owned {
		f = r.feed
	}
	f.users--
	f.versions[l.version]--
	if f.versions[l.version] == 0 {
		delete(f.versions, l.version)
	}
	if f.users == 0 {
		f.idle = o.options.Now()
	}
}

// await notes which feeds have to tell their first state until all of a claim is known.
func (o *Observer) await(held *claim) {
	for f := range held.waiting {
		delete(f.waiters, held)
	}
	held.waiting = nil
	for _, one := range held.entries {
		f := one.record.kind.feed
		if !one.owned {
			f = one.record.feed
		}
		if f.inSync() || f.unserved {
			continue
		}
		if held.waiting == nil {
			held.waiting = map[*feed]struct{}{}
		}
		held.waiting[f] = struct{}{}
		f.waiters[held] = struct{}{}
	}
}
