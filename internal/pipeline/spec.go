package pipeline

import (
	"context"
	"time"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline/settle"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// Site is a cluster that units are delivered to, under the identity that may write there.
type Site struct {
	Cluster  *kube.Cluster
	Observer *observe.Observer
}

// Heirs tells which of some objects other units want, by Ref.Key.
type Heirs func(ctx context.Context, given []object.Ref) map[object.Ref]bool

// leave cuts the objects that others want off a list. Those that still carry our owner labels have not
// been taken over yet.
func (h Heirs) leave(ctx context.Context, refs []object.Ref) (ours, left []object.Ref) {
	if h == nil || len(refs) == 0 {
		return refs, nil
	}
	wanted := h(ctx, refs)
	for _, ref := range refs {
		if wanted[ref.Key()] {
			left = append(left, ref)
			continue
		}
		ours = append(ours, ref)
	}
	return ours, left
}

// Job asks for a unit to be brought to what it wants.
type Job struct {
	Unit object.Owner
	// Self is the unit's own custom resource, so that a unit never waits for itself.
	Self   object.Ref
	Render Rendering
	Site   Site

	Prune  bool
	Force  bool
	Ignore []apply.Ignore

	// Wait asks for the health of everything applied; otherwise Checks names what must be healthy.
	Wait   bool
	Checks []object.Ref
	Health []observe.HealthExpr
	// NoJobs leaves Jobs out of what Wait asks for.
	NoJobs bool
	// Timeout bounds the wait for health, and for each hook.
	Timeout time.Duration

	// Ledger is where others keep a book of the unit; nil is nowhere. Without one there are no hooks.
	Ledger Ledger
	// Hooks says which hooks are not run, and Tests whether tests are; see Hooks.
	Hooks Hooks
	// Upkeep is what becomes of changes that others make.
	Upkeep Upkeep

	// Label is what Git calls the wish, for people and for the record.
	Label release.Label
	// Signature says who signed the commit, where that was verified.
	Signature string
	// Policy says how releases are judged, and whether a bad one is undone.
	Policy settle.Policy
	// Retry and Back are what a person asks for, nil where nobody does: one more try of what is held,
	// or to go back to release To, where 0 is the good one before the one that stands.
	Retry, Back *release.Request
	To          int64

	// Interval bounds how long the correction of a contested object is put off.
	Interval time.Duration

	// Heirs tells which of the objects that the unit gives up, by Ref.Key, others want. They are left to
	// them, and stay in the inventory until others have them. Nil means none.
	Heirs Heirs

	// Inventory names what the unit owns so far, as it was last saved.
	Inventory []object.Ref
	// Save stores an inventory before objects that it names come to exist.
	Save func(ctx context.Context, inventory []object.Ref) error
	// Allowed is what the unit's author acknowledges beforehand: deletions that are refused otherwise.
	Allowed string
	// Verify asks the server about every object instead of trusting watches.
	Verify bool
	// Restart begins the wait for health anew, even where it ran out before.
	Restart bool
}

// Phase says how a pass ended.
type Phase int

const (
	// Done means applied, and healthy where that was asked for.
	Done Phase = iota
	// Parked means that the unit waits for an event or for Outcome.After.
	Parked
	// Failed means that Outcome.Err says why.
	Failed
)

// Outcome is what one pass did. Everything in it is true even when the pass failed.
type Outcome struct {
	Phase Phase
	Err   error // set when Failed; its fault reason is the condition reason
	// Message says what a parked unit waits for.
	Message string
	// After is the time to call Advance again without an event; 0 means none is needed.
	After time.Duration

	// Fingerprint identifies what was rendered, "" when rendering failed.
	Fingerprint string
	// Inventory names what the unit owns now.
	Inventory []object.Ref
	// Changes and Pruned are what was done to objects in this pass.
	Changes, Pruned object.Changes
	// Upheld are corrections towards what was applied before, made because the wish of now could not
	// be had.
	Upheld object.Changes
	// Told is what was found of the wish without refusing it.
	Told []finding.Finding
	// Applied says that the whole set is in the cluster and stale objects are gone.
	Applied bool
	// Checked says that health was asked for; Healthy that all of it is given, since Waited.
	Checked, Healthy bool
	Waited           time.Duration
	// Held says that the cluster is kept on another release than Git wants; Standing is that release.
	Held     bool
	Standing release.Release
	// Latest is the newest release, of which something may be in the cluster; its number is 0 where
	// there is none.
	Latest release.Release
	// Drifted names objects that others changed or deleted, and that are left so, as the unit wants it.
	Drifted []object.Ref
	// Contested tells, one sentence each, which corrections are put off because somebody keeps
	// undoing them.
	Contested []string
	contested []record.Touched // the same, for the record
}

// fail ends a pass.
func (o Outcome) fail(err error) Outcome {
	o.Phase, o.Err = Failed, err
	return o
}

// again asks for a further pass after a time, however this one ended.
func (o Outcome) again(after time.Duration) Outcome {
	if o.After == 0 || after < o.After {
		o.After = max(after, time.Millisecond)
	}
	return o
}

// park ends a pass for now. A put-off correction that is due sooner stays due.
func (o Outcome) park(message string, after time.Duration) Outcome {
	o.Phase, o.Message = Parked, message
	if o.After == 0 || after != 0 && after < o.After {
		o.After = after
	}
	return o
}
