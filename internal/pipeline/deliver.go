package pipeline

import (
	"context"
	"fmt"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// goal is a set that the cluster is to be brought to, as a release.
type goal struct {
	set     check.Passed
	hooks   check.Passed
	like    release.Release // that has the same objects, if any
	release release.Release
	// fresh says that the release was not begun yet: it is when its first object is about to be written.
	fresh bool
}

// deliver brings the cluster to Git's wish: as the latest release, or as a new one.
func (p *pass) deliver(ctx context.Context, wanted wish, out Outcome, fresh bool) Outcome {
	to := goal{set: wanted.set, hooks: wanted.hooks, like: wanted.like, fresh: fresh}
	if fresh {
		to.release = p.next(wanted)
	} else {
		to.release, _ = p.unit.book.Latest()
		p.unit.stood = numbered{to.release.Number, to.set, to.hooks}
	}
	if err := p.unit.mayLook(ctx, p.job); err != nil {
		return out.fail(err)
	}
	if err := p.claim(to.set); err != nil {
		return out.fail(err)
	}
	if p.unit.early(p.job, p.live) {
		return out.park("looking at what is in the cluster", lookPause)
	}
	out, state := p.prepare(ctx, &to, out)
	switch state {
	case waiting:
		return out
	case foiled:
		return p.condemn(ctx, to.release, release.HookFailed, out)
	}
	out, failure := p.write(ctx, &to, out)
	if failure != nil {
		return p.fell(ctx, to, out, failure)
	}
	if out.Phase != Done {
		return out
	}
	p.unit.applied = to.set
	out = p.prune(ctx, to.set, out)
	if out.Phase != Done {
		return out
	}
	out.Applied = true
	if to.fresh { // the cluster had it all already
		if err := p.open(ctx, &to); err != nil {
			return out.fail(err)
		}
	}
	p.count(to.release, out)
	return p.conclude(ctx, to, p.settle(to.set, out))
}

// conclude does what follows a set that was written and looked at: what runs after it, and the ruling.
func (p *pass) conclude(ctx context.Context, to goal, out Outcome) Outcome {
	out, state := p.after(ctx, &to, out)
	switch {
	case state == waiting:
		return out
	case state == foiled && to.release.Verdict == release.Pending:
		return p.condemn(ctx, to.release, triggerOf(out.Err), out)
	case state == foiled:
		return out
	}
	return p.rule(ctx, to, out)
}

// claim tells the observer what the unit owns, in the cluster and in the set.
func (p *pass) claim(set check.Passed) error {
	p.unit.claimed = set
	owned := make([]object.Ref, 0, len(set.Objects())+len(p.job.Inventory))
	wanted := make(map[object.Ref]bool, len(set.Objects()))
	for _, one := range set.Objects() {
		owned = append(owned, one.Ref)
		wanted[one.Key()] = true
	}
	for _, ref := range p.job.Inventory {
		if !wanted[ref.Key()] {
			owned = append(owned, ref)
		}
	}
	owned = append(owned, p.unit.running()...)
	var others []object.Ref
	if !p.job.Wait {
		others = p.job.Checks
	}
	err := p.job.Site.Observer.Claim(observe.Claim{Owner: p.job.Unit, Owned: owned, Others: others, Health: p.job.Health})
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

// write applies a set. When it fails half-way, the inventory names what was reached, and the failure
// is returned beside the outcome: what follows from it depends on what the set is.
func (p *pass) write(ctx context.Context, to *goal, out Outcome) (Outcome, error) {
	set := to.set
	if to.delivered() {
		set = p.upkeep(set, &out)
	}
	hold, after := p.unit.fights.review(ctx, p.unit.now, p.job, set, p.unit.memory, p.live, &out)
	p.noteContests(ctx, &out)
	drifts, err := p.announceDrift(ctx, set, hold)
	if err != nil {
		return out, err
	}
	result, err := step(ctx, p, "apply", func(ctx context.Context) (apply.Result, error) {
		return p.apply.Apply(ctx, apply.Request{
			Cluster: p.job.Site.Cluster, Set: set, Memory: p.unit.memory, View: p.live, Owner: p.job.Unit,
			Force: p.job.Force, Ignore: p.job.Ignore, Hold: hold, Verify: p.job.Verify,
			Intend: func(ctx context.Context, wanted []object.Ref) error {
				if err := p.open(ctx, to); err != nil {
					return err
				}
				p.job.Inventory = union(p.job.Inventory, wanted)
				return p.job.Save(ctx, p.job.Inventory)
			},
		})
	})
	out.Changes, out.After = append(out.Changes, result.Changes...), after
	out.Inventory = union(p.job.Inventory, result.Changes.Refs())
	p.confirmDrift(ctx, drifts, result.Changes, err)
	switch {
	case err != nil && fault.KindOf(err) == fault.Waiting:
		return out.park(err.Error(), fault.AfterOf(err)), nil
	case err != nil:
		return out, partial(err, result.Changes)
	case len(result.Waiting) > 0:
		return out.park(fmt.Sprintf("waiting for %s to be established", list(result.Waiting)), establishTime), nil
	}
	return out, nil
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

// fell ends a pass in which objects were refused. A release of which something was written is bad
// then; of one that was not, nothing is in the cluster.
func (p *pass) fell(ctx context.Context, to goal, out Outcome, failure error) Outcome {
	if !apply.Refused(failure) {
		return p.reject(ctx, out, failure)
	}
	switch {
	case to.fresh:
		p.refused(ctx, to.release, failure)
		return p.tend(ctx, p.reject(ctx, out, failure))
	case to.release.Verdict == release.Pending:
		p.count(to.release, out)
		return p.condemn(ctx, to.release, release.ApplyError, out.fail(failure))
	default:
		return p.reject(ctx, out, failure)
	}
}

// refuse ends a pass in which Git's wish cannot be had. The standing release is kept, and judged on.
func (p *pass) refuse(ctx context.Context, wanted wish, out Outcome, err error) Outcome {
	if fault.KindOf(err) != fault.Waiting {
		one := p.next(wanted)
		p.refused(ctx, one, err)
	}
	return p.tend(ctx, p.reject(ctx, out, err))
}

// prune deletes what the inventory names and the set does not.
func (p *pass) prune(ctx context.Context, set check.Passed, out Outcome) Outcome {
	wanted := make([]object.Ref, 0, len(set.Objects()))
	for _, one := range set.Objects() {
		wanted = append(wanted, one.Ref)
	}
	stale := without(p.job.Inventory, wanted)
	for _, ref := range stale {
		delete(p.unit.memory, ref.Key()) // should it come back, others may have changed it
	}
	out.Inventory = union(nil, wanted)
	if len(stale) == 0 || !p.job.Prune {
		return out
	}
	stale, left := p.job.Heirs.leave(ctx, stale)
	for _, ref := range left {
		if state := p.live.Live(ref); !state.Known || state.Exists && state.Owner == p.job.Unit {
			wanted = append(wanted, ref)
		}
	}
	out.Inventory = union(nil, wanted)
	pruned, err := p.remove(ctx, stale)
	out.Pruned = append(out.Pruned, pruned.Changes...)
	out.Inventory = union(wanted, pruned.Survivors)
	if err != nil {
		return out.fail(err)
	}
	return out
}

// remove deletes objects of the unit, and records what it deleted.
func (p *pass) remove(ctx context.Context, refs []object.Ref) (apply.Pruned, error) {
	pruned, err := step(ctx, p, "prune", func(ctx context.Context) (apply.Pruned, error) {
		return p.apply.Prune(ctx, apply.PruneRequest{
			Cluster: p.job.Site.Cluster, View: p.live, Owner: p.job.Unit, Refs: refs, Memory: p.unit.memory,
		})
	})
	if made := pruned.Changes.Made(); len(made) > 0 {
		entry := p.entry(record.Pruned)
		entry.Objects = touched(made)
		p.note(ctx, entry)
	}
	return pruned, err
}
