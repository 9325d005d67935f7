package apply

import "holdfast.dev/holdfast/internal/model/object"

// plan is what is to be done about one object. The steps fill it in, each in its own slot.
type plan struct {
	wanted object.Object
	work   bool // the server has to be asked
	body   []byte
	live   Live

	recreate bool          // an immutable field changes, and force is on: delete first
	managers bool          // fields of managers that we replace must become ours first
	exists   bool          // the dry-run met a live object
	version  string        // its resource version
	begun    bool          // writing was begun, so that its end is unknown unless action tells
	action   object.Action // empty until decided
}

// plan decides from memory and view alone whether an object needs the server.
func (r *run) plan(wanted object.Object) plan {
	p := plan{wanted: wanted, body: wanted.JSON, live: r.View.Live(wanted.Ref)}
	switch {
	case wanted.Rules.Skipped(), p.live.Known && p.live.Exists && p.live.Rules.Skipped():
		p.action = object.Skipped
	case wanted.Rules.IfNotPresent && p.live.Known && p.live.Exists:
		p.action = object.Skipped
	case !r.Verify && r.settled(p):
		p.action = object.Unchanged
	default:
		p.work = true
	}
	return p
}

// settled tells whether the cluster is known to have what is wanted. An object that is on its way
// out counts as settled: writing to it is futile, and its end will wake the unit.
func (r *run) settled(p plan) bool {
	digest, applied := r.Memory[p.wanted.Key()]
	switch {
	case !p.live.Known, !applied, digest != p.wanted.Digest:
		return false
	case r.Hold[p.wanted.Key()]:
		return true
	case !p.live.Exists:
		return p.wanted.Rules.Expires
	case p.live.Deleting:
		return true
	default:
		return !p.live.Drifted && p.live.Owner == r.Owner
	}
}
