package observe

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe/trouble"
)

// Status is a health status, in the words of kstatus.
type Status string

// The statuses.
const (
	Unknown     Status = "Unknown"
	Current     Status = "Current"
	InProgress  Status = "InProgress"
	Failed      Status = "Failed"
	Terminating Status = "Terminating"
	NotFound    Status = "NotFound"
)

// Reason says in one word why an object is Failed. Reasons may be added: take an unknown one, and an
// empty one, for a failure like any other.
type Reason string

// The reasons. The first five are seen in a workload's Pods, before its own status tells.
const (
	ImagePull        = Reason(trouble.ImagePull)
	CrashLoop        = Reason(trouble.CrashLoop)
	Container        = Reason(trouble.Container)
	Quota            = Reason(trouble.Quota)
	Refused          = Reason(trouble.Refused)
	JobFailed        = Reason("JobFailed")
	ProgressDeadline = Reason("ProgressDeadline")
	Unschedulable    = Reason("Unschedulable")
)

// Health is the verdict on an object.
type Health struct {
	Status  Status
	Reason  Reason // of a Failed one, where it is known
	Message string
	Since   time.Time // since when the status is what it is, as far as we saw it
}

// State is what is known of an object.
type State struct {
	// Known tells whether the rest can be relied on: its watch was in sync once, or we wrote the
	// object ourselves. Where it is false, the object may or may not exist.
	Known bool
	// Stale tells that the watch is broken at the moment: what is known may be old.
	Stale bool
	// Unserved tells that the server does not serve the kind at the moment.
	Unserved bool
	// Exists, with its owner label where the object is claimed as owned.
	Exists   bool
	Deleting bool
	// Drifted tells that the fields we own are not those of our last write. It is false while we do
	// not know what we wrote, for example after a restart.
	Drifted bool
	// Expired tells that the object is a finished Job which its time to live removed. Its Health
	// remains what it was in the end.
	Expired bool

	UID             types.UID
	ResourceVersion string
	Generation      int64
	Owner           object.Owner
	HasOwner        bool
	// Rules are the live object's, or those that it had last.
	Rules  object.Rules
	Health Health
}

// State returns what is known of an object. Its health is judged by the rules of the unit that it
// belongs to, else by those of a unit that looks at it, else by the built-in ones.
func (o *Observer) State(ref object.Ref) State {
	o.lock.RLock()
	defer o.lock.RUnlock()
	return o.state(ref, func(r *record) *judge {
		var found *judge
		for _, link := range r.links {
			if link.judge != nil && (found == nil || link.claim.owner == r.owner) {
				found = link.judge
			}
		}
		return found
	})
}

// StateFor returns what is known of an object, judged by the rules of a certain unit.
func (o *Observer) StateFor(owner object.Owner, ref object.Ref) State {
	o.lock.RLock()
	defer o.lock.RUnlock()
	return o.state(ref, func(r *record) *judge {
		for _, link := range r.links {
			if link.claim.owner == owner {
				return link.judge
			}
		}
		return nil
	})
}

func (o *Observer) state(ref object.Ref, rule func(*record) *judge) State {
	k := o.kinds[schema.GroupKind{Group: ref.Group, Kind: ref.Kind}]
	if k == nil {
		return State{Health: Health{Status: Unknown}}
	}
	r := k.records[place{ref.Namespace, ref.Name}]
	if r == nil {
		state := State{Known: k.feed.inSync(), Health: Health{Status: Unknown}}
		if k.feed != nil {
			state.Stale, state.Unserved = k.feed.err != nil, k.feed.unserved
		}
		if state.Known {
			state.Health.Status = NotFound
		}
		return state
	}
	return r.state(rule(r))
}

func (r *record) state(rule *judge) State {
	state := State{
		Known: r.known(), Stale: r.stale(), Exists: r.exists, Deleting: r.deleting, Drifted: r.drifted(), Expired: r.expired,
		UID: r.uid, ResourceVersion: r.version, Generation: r.generation,
		Owner: r.owner, HasOwner: r.hasOwner, Rules: r.rules,
		Health: r.health(rule),
	}
	for _, feed := range []*feed{r.feed, r.kind.feed} {
		state.Unserved = state.Unserved || feed != nil && feed.unserved
	}
	return state
}

func (r *record) health(rule *judge) Health {
	health := Health{Status: r.status, Reason: r.reason, Message: r.message}
	since := r.since
	switch own := findOwn(r.own, rule); {
	case !r.known() && !r.exists, r.status == "" && !r.known():
		return Health{Status: Unknown}
	case r.status == "":
		return Health{Status: NotFound}
	case rule == nil:
	case own != nil:
		health, since = Health{Status: own.status, Message: own.message}, own.since
	case r.exists:
		return Health{Status: Unknown, Message: "not judged by the unit's health expressions yet"}
	}
	health.Since = time.Unix(0, since)
	return health
}
