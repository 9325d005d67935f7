package observe

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe/trouble"
)

// kind is all that is known of one group and kind.
type kind struct {
	gk      schema.GroupKind
	feed    *feed // of all labelled objects; nil while nobody claims one as owned
	records map[place]*record
	round   uint32 // counts complete lists
}

// place is an object within its kind.
type place struct{ namespace, name string }

// record is what stays of an object: some hundred bytes, whatever its size.
type record struct {
	kind  *kind
	at    place
	links []link
	feed  *feed // its very own, when somebody looks at it without owning it

	uid        types.UID
	version    string // resourceVersion of the last change that we know of, be it its end
	generation int64
	owner      object.Owner
	token      digest
	content    digest
	expected   digest
	expectedAt string // resourceVersion that expected is of

	status  Status
	reason  Reason
	message string
	since   int64        // Unix nanoseconds
	own     []ownVerdict // verdicts by units' own rules; nil for most
	work    *work        // of what runs Pods; nil for most

	rules    object.Rules
	round    uint32 // the last complete list that had it
	exists   bool
	hasOwner bool
	deleting bool
	written  bool // we wrote it ourselves
	held     bool // expected is known
	final    bool // a finished Job
	expired  bool // a finished Job that is gone
}

// link is a unit's interest in an object.
type link struct {
	claim   *claim
	version string // the API version that the unit names it with
	judge   *judge // the unit's own rule for the kind, or nil
	round   uint32 // of the claim
	owned   bool
}

// ownVerdict is the verdict by a unit's own rule.
type ownVerdict struct {
	judge   *judge
	status  Status
	message string
	since   int64
}

// sighting is an object as it was seen once.
type sighting struct {
	uid        types.UID
	version    string
	generation int64
	owner      object.Owner
	hasOwner   bool
	deleting   bool
	rules      object.Rules
	token      digest
	content    digest
	verdict    verdict
	own        []ownVerdict
	workload   *trouble.Workload // of what runs Pods; nil for most
	work       *work             // the same for the record, after weigh
}

// origin is where a sighting comes from.
type origin int

const (
	watched origin = iota
	wrote          // the answer to a write of our own
	reread
)

// facts are what units are woken for when it changes.
type facts struct {
	known, exists, drifted, expired bool

	status Status
	own    []ownVerdict
	rules  object.Rules
	owner  object.Owner
}

func (r *record) facts() facts {
	return facts{
		known: r.known(), exists: r.exists, drifted: r.drifted(), expired: r.expired,
		status: r.status, own: r.own, rules: r.rules, owner: r.owner,
	}
}

func (r *record) drifted() bool { return r.exists && r.held && r.token != r.expected }

func (r *record) known() bool {
	return r.written || r.feed.inSync() || r.kind.feed.inSync()
}

func (r *record) stale() bool {
	if r.feed != nil {
		return r.feed.err != nil
	}
	return r.kind.feed != nil && r.kind.feed.err != nil
}

func (r *record) ref(version string) object.Ref {
	return object.Ref{
		Group: r.kind.gk.Group, Version: version, Kind: r.kind.gk.Kind,
		Namespace: r.at.namespace, Name: r.at.name,
	}
}

// statusBy returns the verdict that counts for those who use a rule, or the built-in one for nil.
func (f facts) statusBy(rule *judge) Status {
	if rule == nil {
		return f.status
	}
	for _, own := range f.own {
		if own.judge == rule {
			return own.status
		}
	}
	return Unknown
}

// admit takes in a sighting, unless something newer is known already.
func (r *record) admit(s sighting, from origin, now time.Time) {
	if from == wrote {
		r.written = true
		if !older(s.version, r.expectedAt) {
			r.expected, r.expectedAt, r.held = s.token, s.version, true
		}
	}
	if older(s.version, r.version) {
		return
	}
	final := s.verdict.final || r.final && s.deleting && r.uid == s.uid
	r.uid, r.version, r.generation = s.uid, s.version, s.generation
	r.owner, r.hasOwner, r.rules = s.owner, s.hasOwner, s.rules
	r.token, r.content, r.work = s.token, s.content, s.work
	r.exists, r.deleting, r.expired, r.final = true, s.deleting, false, final
	if s.deleting && r.runsOut() {
		return // its result stands
	}
	r.judged(s.verdict, now)
	r.own = r.merge(s.own, now)
}

// runsOut tells whether the object is a Job that is finished and will be removed for that reason.
func (r *record) runsOut() bool { return r.final && r.rules.Expires }

func (r *record) judged(v verdict, now time.Time) {
	if r.status != v.status {
		r.status, r.since = v.status, now.UnixNano()
	}
	r.reason, r.message = v.reason, v.message
}

// merge returns the verdicts of all rules that units have for the object: those just made, and where
// a rule came too late for that, the ones from before.
func (r *record) merge(fresh []ownVerdict, now time.Time) []ownVerdict {
	var merged []ownVerdict // a new slice: facts may hold the old one
	for _, link := range r.links {
		if link.judge == nil || findOwn(merged, link.judge) != nil {
			continue
		}
		before := findOwn(r.own, link.judge)
		next := findOwn(fresh, link.judge)
		switch {
		case next == nil && before == nil:
			continue // to be read again
		case next == nil:
			merged = append(merged, *before)
			continue
		}
		verdict := *next
		verdict.since = now.UnixNano()
		if before != nil && before.status == verdict.status {
			verdict.since = before.since
		}
		merged = append(merged, verdict)
	}
	return merged
}

func findOwn(list []ownVerdict, rule *judge) *ownVerdict {
	for i := range list {
		if list[i].judge == rule {
			return &list[i]
		}
	}
	return nil
}

// unjudged tells whether a unit has a rule for the object by which it was not judged yet.
func (r *record) unjudged() bool {
	if !r.exists {
		return false
	}
	for _, link := range r.links {
		if link.judge != nil && findOwn(r.own, link.judge) == nil {
			return true
		}
	}
	return false
}

// end takes in that the object is gone as of a resource version. What it was like stays, for those
// who want to tell of it.
func (r *record) end(version string, now time.Time) {
	if older(version, r.version) {
		return
	}
	r.expired = r.exists && r.runsOut()
	r.exists, r.deleting = false, false
	r.version = version
	if r.expired {
		return
	}
	r.work = nil
	r.judged(verdict{status: NotFound}, now)
	own := make([]ownVerdict, len(r.own))
	for i, verdict := range r.own {
		own[i] = ownVerdict{judge: verdict.judge, status: NotFound, since: now.UnixNano()}
	}
	r.own = own
}
