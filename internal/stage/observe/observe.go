package observe

import (
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
)

// Options steer an Observer.
type Options struct {
	// Manager is the field manager that our server-side applies use; its managed-fields entry tells
	// whether somebody changed what is ours.
	Manager string
	// Wake is called for each event, without locks held and from one goroutine only. It must not
	// block. Events that are equal and not yet delivered are delivered once.
	Wake func(Event)
	// Log receives what happens to watches. The zero value discards it.
	Log logr.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Linger is how long the watch of a kind stays that nobody claims any more; 0 means 2 minutes.
	Linger time.Duration
}

// Cause says why a unit is woken.
type Cause string

// The causes.
const (
	// Drifted: somebody changed or took over fields that are ours.
	Drifted Cause = "Drifted"
	// Gone: an object that existed was deleted, or lost its owner label (then it exists, but nothing
	// tells that it is ours). The end of a deletion of our own is told with this cause as well.
	Gone Cause = "Gone"
	// HealthChanged: the health status is another one, including the first one after NotFound.
	HealthChanged Cause = "HealthChanged"
	// RulesChanged: the live object's labels or annotations that steer its delivery are others.
	RulesChanged Cause = "RulesChanged"
	// OwnerChanged: the owner labels name another unit.
	OwnerChanged Cause = "OwnerChanged"
	// Synced: everything of a claim that was not known when the claim was made is known now. The
	// event has no Ref. It comes once for a claim, and not at all when all was known at once.
	Synced Cause = "Synced"
)

// Event wakes a unit.
type Event struct {
	Owner object.Owner
	Ref   object.Ref
	Cause Cause
}

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

// Health is the verdict on an object.
type Health struct {
	Status  Status
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
	Rules           object.Rules
	Health          Health
}

// Observer watches the objects of one cluster for any number of units. It is safe for concurrent use.
type Observer struct {
	cluster *kube.Cluster
	options Options
}

// New makes an Observer, which sends no request before the first claim. Stop it when done.
func New(cluster *kube.Cluster, options Options) *Observer {
	return &Observer{cluster: cluster, options: options}
}

// Stop ends all watches and waits until they have ended. No event is delivered after it returns.
func (o *Observer) Stop() {}

// Claim replaces what a unit needs observed and returns at once: watches for kinds that come into
// use start in the background. An error means that a health expression is not valid; the former
// claim then stays.
func (o *Observer) Claim(claim Claim) error { return nil }

// Release drops the claim of a unit.
func (o *Observer) Release(owner object.Owner) {}

// Saw takes in an object as the server returned it: in answer to a write of our own, or to a dry run
// which proved that the live object is what we want. Its fields of ours are the expected ones from
// then on. Never call it with the result of a dry run that would change something.
func (o *Observer) Saw(u *unstructured.Unstructured) {}

// Removed tells that we asked the server to delete the object and it agreed. The object may go on
// existing until its finalizers have run; its end is told by an event.
func (o *Observer) Removed(ref object.Ref, uid types.UID) {}

// State returns what is known of an object, judged by the rules of the unit that it belongs to.
func (o *Observer) State(ref object.Ref) State { return State{} }

// StateFor returns what is known of an object, judged by the rules of a certain unit.
func (o *Observer) StateFor(owner object.Owner, ref object.Ref) State { return State{} }

// Stats are figures for metrics and tests.
type Stats struct {
	Watches int    // open or being opened
	Broken  int    // of those, not connected at the moment
	Claims  int    // units
	Records int    // objects remembered
	Bytes   int    // what the records take, roughly
	Events  uint64 // objects received from watches so far
	Wakes   uint64 // events delivered so far
	Rereads uint64 // single reads because a judgement changed
}

// Stats returns the figures.
func (o *Observer) Stats() Stats { return Stats{} }
