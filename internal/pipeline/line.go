package pipeline

import (
	"context"
	"fmt"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/observe"
	"holdfast.dev/holdfast/internal/stage/render"
)

// Line is the order of the stages. It is safe for concurrent use by different units.
type Line struct {
	render *render.Renderer
	apply  *apply.Applier
	now    func() time.Time
	units  units
}

// New makes a line of its stages. A nil now means time.Now.
func New(renderer *render.Renderer, applier *apply.Applier, now func() time.Time) *Line {
	if now == nil {
		now = time.Now
	}
	return &Line{render: renderer, apply: applier, now: now}
}

// Advance brings a unit as far as it will go at this moment. At most one call for the same unit may
// be under way.
func (l *Line) Advance(ctx context.Context, job Job) Outcome {
	unit := l.units.of(job.Unit)
	unit.begin(job.Site, l.now())
	unit.secrets = secretsOf(job.Render.Variables)
	return unit.secrets.mask(l.advance(ctx, job, unit))
}

func (l *Line) advance(ctx context.Context, job Job, unit *unit) Outcome {
	out := Outcome{Inventory: job.Inventory}
	rendered, err := l.render.Render(ctx, job.Render)
	if err != nil {
		return l.reject(ctx, job, unit, out, fault.Because(fault.ReasonOf(err, "BuildFailed"), err))
	}
	out.Fingerprint = rendered.Fingerprint
	passed, err := unit.check(ctx, job, rendered)
	if err != nil {
		return l.reject(ctx, job, unit, out, err)
	}
	live := liveView{job.Site.Observer}
	if err := unit.mayLook(ctx, job); err != nil {
		return out.fail(err)
	}
	if err := claim(job, passed); err != nil {
		return out.fail(err)
	}
	if unit.early(job, live) {
		return out.park("looking at what is in the cluster", lookPause)
	}
	out = l.write(ctx, job, unit, passed, live, out)
	if out.Phase != Done {
		return out
	}
	out = l.prune(ctx, job, unit, passed, live, out)
	if out.Phase != Done {
		return out
	}
	out.Applied = true
	return l.settle(job, unit, passed, out)
}

// check judges what was rendered, once for each fingerprint.
func (u *unit) check(ctx context.Context, job Job, rendered render.Output) (check.Passed, error) {
	if u.checked == rendered.Fingerprint && u.checked != "" {
		return u.passed, nil
	}
	passed, err := check.Run(ctx, job.Site.Cluster, rendered.Objects)
	if err != nil {
		u.checked = ""
		return check.Passed{}, err
	}
	u.passed, u.checked = passed, ""
	if passed.Complete() {
		u.checked = rendered.Fingerprint
	}
	return passed, nil
}

// claim tells the observer what the unit owns, in the cluster and in the set.
func claim(job Job, passed check.Passed) error {
	owned := make([]object.Ref, 0, len(passed.Objects())+len(job.Inventory))
	wanted := make(map[object.Ref]bool, len(passed.Objects()))
	for _, one := range passed.Objects() {
		owned = append(owned, one.Ref)
		wanted[one.Key()] = true
	}
	for _, ref := range job.Inventory {
		if !wanted[ref.Key()] {
			owned = append(owned, ref)
		}
	}
	var others []object.Ref
	if !job.Wait {
		others = job.Checks
	}
	err := job.Site.Observer.Claim(observe.Claim{Owner: job.Unit, Owned: owned, Others: others, Health: job.Health})
	return fault.Because("ReconciliationFailed", err)
}

const (
	lookPause = time.Second
	maxLooks  = 3
)

// early tells whether this is the first pass since the program started, over objects whose watches
// are not in sync yet: a moment later most of them need no request at all. The observer wakes the
// unit when they are; the pause is for the case that some never get there.
func (u *unit) early(job Job, live liveView) bool {
	if u.started || u.looks >= maxLooks {
		return false
	}
	for _, ref := range job.Inventory {
		if state := live.observer.State(ref); !state.Known && !state.Unserved {
			u.looks++
			return true
		}
	}
	u.started = true
	return false
}

// write applies the set. When it fails half-way, the inventory names what was reached.
func (l *Line) write(ctx context.Context, job Job, unit *unit, passed check.Passed, live liveView, out Outcome) Outcome {
	hold, after := unit.fights.review(ctx, unit.now, job, passed, unit.memory, live, &out)
	result, err := l.apply.Apply(ctx, apply.Request{
		Cluster: job.Site.Cluster, Set: passed, Memory: unit.memory, View: live, Owner: job.Unit,
		Force: job.Force, Ignore: job.Ignore, Hold: hold, Verify: job.Verify,
		Intend: func(ctx context.Context, wanted []object.Ref) error {
			return job.Save(ctx, union(job.Inventory, wanted))
		},
	})
	out.Changes, out.After = result.Changes, after
	out.Inventory = union(job.Inventory, result.Changes.Refs())
	switch {
	case err != nil && fault.KindOf(err) == fault.Waiting:
		return out.park(err.Error(), fault.AfterOf(err))
	case err != nil:
		return l.reject(ctx, job, unit, out, partial(err, result.Changes))
	case len(result.Waiting) > 0:
		return out.park(fmt.Sprintf("waiting for %s to be established", list(result.Waiting)), establishTime)
	}
	unit.applied = passed
	return out
}

// establishTime is when to look again at definitions that the server has not established, should
// their watch not say so first.
const establishTime = 2 * time.Second

// partial adds what was changed before an apply failed, as Flux's message does.
func partial(err error, changes object.Changes) error {
	if made := changes.Made(); len(made) > 0 {
		err = fmt.Errorf("%w\n%s", err, made)
	}
	return fault.Because("ReconciliationFailed", err)
}

// prune deletes what the inventory names and the set does not.
func (l *Line) prune(ctx context.Context, job Job, unit *unit, passed check.Passed, live liveView, out Outcome) Outcome {
	wanted := make([]object.Ref, 0, len(passed.Objects()))
	for _, one := range passed.Objects() {
		wanted = append(wanted, one.Ref)
	}
	stale := without(job.Inventory, wanted)
	for _, ref := range stale {
		delete(unit.memory, ref.Key()) // should it come back, others may have changed it
	}
	out.Inventory = union(nil, wanted)
	if len(stale) == 0 || !job.Prune {
		return out
	}
	stale, left := job.Heirs.leave(ctx, stale)
	for _, ref := range left {
		if state := live.Live(ref); !state.Known || state.Exists && state.Owner == job.Unit {
			wanted = append(wanted, ref)
		}
	}
	out.Inventory = union(nil, wanted)
	pruned, err := l.apply.Prune(ctx, apply.PruneRequest{
		Cluster: job.Site.Cluster, View: live, Owner: job.Unit, Refs: stale, Memory: unit.memory,
	})
	out.Pruned = pruned.Changes
	out.Inventory = union(wanted, pruned.Survivors)
	if err != nil {
		return out.fail(err)
	}
	return out
}

// Wants returns what a unit wants, without a look at any cluster. Objects that it leaves alone are
// not among it.
func (l *Line) Wants(ctx context.Context, input render.Input) ([]object.Ref, error) {
	rendered, err := l.render.Render(ctx, input)
	if err != nil {
		return nil, err
	}
	refs := make([]object.Ref, 0, len(rendered.Objects))
	for _, one := range rendered.Objects {
		if !one.Rules.Skipped() {
			refs = append(refs, one.Ref)
		}
	}
	return refs, nil
}

// Forget drops what is remembered of a unit, and its claims in a cluster.
func (l *Line) Forget(unit object.Owner, site Site) {
	l.units.forget(unit)
	l.render.Forget(unit)
	if site.Observer != nil {
		site.Observer.Release(unit)
	}
}
