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
	if o.holds(held, wanted) {
		return nil
	}
	former := held.entries
	held.exprs, held.judges = slices.Clone(wanted.Health), judges
	held.entries = make([]entry, 0, len(wanted.Owned)+len(wanted.Others))
	held.round++
	for ref, owned := range wanted.refs {
		o.link(ref, link{claim: held, version: ref.Version, round: held.round, owned: owned})
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

// refs goes over all objects of a claim, and whether the unit owns them.
func (c Claim) refs(yield func(object.Ref, bool) bool) {
	for _, ref := range c.Owned {
		if !yield(ref, true) {
			return
		}
	}
	for _, ref := range c.Others {
		if !yield(ref, false) {
			return
		}
	}
}

// holds tells whether a claim asks for what is held already, in the same order.
func (o *Observer) holds(held *claim, wanted Claim) bool {
	if !slices.Equal(held.exprs, wanted.Health) {
		return false
	}
	i := 0
	for ref, owned := range wanted.refs {
		if i < len(held.entries) {
			if one := held.entries[i]; one.owned == owned && one.record.ref(one.version) == ref {
				i++
				continue
			}
		}
		if !o.linked(held, ref) {
			return false
		}
	}
	return i == len(held.entries)
}

// linked tells whether a claim has a link to an object, so that naming it again adds nothing.
func (o *Observer) linked(held *claim, ref object.Ref) bool {
	k := o.kinds[schema.GroupKind{Group: ref.Group, Kind: ref.Kind}]
	if k == nil {
		return false
	}
	r := k.records[place{ref.Namespace, ref.Name}]
	return r != nil && slices.ContainsFunc(r.links, func(l link) bool { return l.claim == held })
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

// link notes a unit's interest in an object. Of several for the same object, the first wins.
func (o *Observer) link(ref object.Ref, next link) {
	gk := schema.GroupKind{Group: ref.Group, Kind: ref.Kind}
	r := o.kindOf(gk).record(place{ref.Namespace, ref.Name})
	next.judge = next.claim.judges.of(gk)
	at := slices.IndexFunc(r.links, func(l link) bool { return l.claim == next.claim })
	switch {
	case at < 0:
		r.links = append(r.links, next)
		o.use(r, next)
	case r.links[at].round == next.round:
		return // twice in one claim
	default:
		former := r.links[at]
		r.links[at] = next
		o.use(r, next)
		o.disuse(r, former)
	}
	next.claim.entries = append(next.claim.entries, entry{record: r, version: ref.Version, owned: next.owned})
	if r.unjudged() {
		o.unread[r] = struct{}{}
	}
	o.attend(r)
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
	o.attend(r)
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
	o.reach(f, r.at.namespace)
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
