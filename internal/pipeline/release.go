package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// next makes the release that Git's wish will be, should anything of it be written.
func (p *pass) next(wanted wish) release.Release {
	one := release.Release{
		Number: p.unit.book.Next(), Fingerprint: wanted.fingerprint, Label: p.job.Label, Verdict: release.Pending,
		Counts: release.Counts{Objects: len(wanted.set.Objects())},
	}
	if p.job.Retry != nil && !p.unit.book.Answered(p.job.Retry.Token) {
		one.Request = p.job.Retry
	}
	return one
}

// open begins a release: before its first object is written, all of them are kept, so that a crash at
// any point can be resumed or undone, and the intent is recorded.
func (p *pass) open(ctx context.Context, to *goal) error {
	if !to.fresh {
		return nil
	}
	one := to.release
	one.Begun, one.Baseline = p.unit.now, p.baseline(to)
	trial := p.unit.try(one.Number)
	if before, err := p.standing(ctx); err == nil {
		trial.changed = changed(before.set.Objects(), to.set.Objects())
		one.ForwardOnly = irreversible(before.set.Objects(), to.set.Objects())
	}
	former, _ := p.unit.book.Latest()
	if one.Request != nil && !one.Request.Automatic {
		p.note(ctx, p.requested("Retry", one))
	}
	begun := p.about(record.ReleaseBegun, one)
	if one.Request != nil && one.Request.Automatic {
		begun.Details = map[string]string{"again": one.Request.Reason}
	}
	begun.Message = fmt.Sprintf("release %d begins, with %d objects", one.Number, one.Counts.Objects)
	begun.Findings = p.unit.clear(to.set.Told())
	if err := p.announce(ctx, begun); err != nil {
		return fmt.Errorf("recording the release: %w", err)
	}
	if p.job.Ledger != nil {
		filed, err := p.job.Ledger.Open(ctx, Act{Release: one, Like: to.like})
		if err != nil {
			return fmt.Errorf("writing the release to the ledger: %w", err)
		}
		one.Filed = filed
	}
	p.follow(ctx, former, one)
	if err := p.Shelf.Add(ctx, p.job.Unit, one, slices.Concat(to.set.Objects(), to.hooks.Objects())); err != nil {
		return fmt.Errorf("keeping the release: %w", err)
	}
	p.unit.book = p.unit.book.With(one)
	p.unit.stood = numbered{one.Number, to.set, to.hooks}
	to.release, to.fresh = one, false
	return nil
}

// follow records what the beginning of a release means for the one before it.
func (p *pass) follow(ctx context.Context, former, one release.Release) {
	switch {
	case former.Number == 0:
	case former.Undone():
		if former.Frozen {
			thawed := p.about(record.Thawed, one)
			thawed.Message = fmt.Sprintf("release %d is tried: the unit is frozen no more", one.Number)
			p.conclusion(ctx, thawed)
		}
		entry := p.about(record.HoldEnded, one)
		switch {
		case one.Request != nil:
			entry.Reason = "Retried"
		default:
			entry.Reason = "NewFingerprint"
		}
		entry.Message = fmt.Sprintf("the hold of release %d ends with release %d", former.Number, one.Number)
		p.conclusion(ctx, entry)
	case former.Verdict == release.Pending:
		entry := p.about(record.ReleaseSuperseded, former)
		entry.Message = fmt.Sprintf("release %d takes the place of release %d", one.Number, former.Number)
		p.note(ctx, entry)
	}
}

// slow is how long an object may be on its way before it counts as unhealthy of its own accord.
const slow = time.Minute

// baseline names the objects that are unhealthy before a release, so that it is not blamed for them. A
// release that follows one without a verdict inherits that one's: what is unhealthy now may be its doing.
func (p *pass) baseline(to *goal) []object.Ref {
	if former, found := p.unit.book.Latest(); found && former.Verdict == release.Pending {
		return former.Baseline
	}
	var unhealthy []object.Ref
	for _, one := range to.set.Objects() {
		state := p.live.observer.State(one.Ref)
		if !state.Exists {
			continue
		}
		late := state.Health.Status == observe.InProgress && p.unit.now.Sub(state.Health.Since) > slow
		if state.Health.Status == observe.Failed || late {
			unhealthy = append(unhealthy, one.Ref)
		}
	}
	return unhealthy
}

// changed returns the objects of a set that differ from those of another, by Ref.Key.
func changed(before, after []object.Object) map[object.Ref]bool {
	digests := make(map[object.Ref]object.Digest, len(before))
	for _, one := range before {
		digests[one.Key()] = one.Digest
	}
	differ := map[object.Ref]bool{}
	for _, one := range after {
		if digest, found := digests[one.Key()]; !found || digest != one.Digest {
			differ[one.Key()] = true
		}
	}
	return differ
}

// refused keeps that a wish was rejected, once for each cause; the same wish keeps its number. Nothing
// depends on it, so it is no trouble if it cannot be kept.
func (p *pass) refused(ctx context.Context, one release.Release, cause error) {
	one.Cause = shortened(p.unit.hide(cause.Error()))
	one.Verdict, one.Begun, one.Ended = release.Rejected, p.unit.now, p.unit.now
	one.Stages = p.run.stages
	keep := func() error { return p.Shelf.Add(ctx, p.job.Unit, one, nil) }
	if newest, again := p.rejectedBefore(one); again {
		if newest.Cause == one.Cause {
			return
		}
		one.Number, one.Begun = newest.Number, newest.Begun
		keep = func() error { return p.Shelf.Change(ctx, p.job.Unit, one) }
	}
	entry := p.about(record.ReleaseRejected, one)
	entry.Reason, entry.Message = fault.ReasonOf(cause, "ReconciliationFailed"), one.Cause
	entry.Findings = p.unit.findingsOf(cause)
	p.note(ctx, entry)
	if err := keep(); err == nil {
		p.unit.book = p.unit.book.With(one)
	}
}

// rejectedBefore tells whether the newest release is the same wish, rejected.
func (p *pass) rejectedBefore(one release.Release) (release.Release, bool) {
	if len(p.unit.book) == 0 {
		return release.Release{}, false
	}
	newest := p.unit.book[0]
	same := newest.Fingerprint == one.Fingerprint && newest.Label.Revision == one.Label.Revision
	return newest, same && newest.Verdict == release.Rejected
}

// shortened bounds a text that is kept with a release.
func shortened(text string) string {
	const most = 4 << 10
	if len(text) <= most {
		return text
	}
	return text[:most] + " …"
}

// count notes what a pass did towards a release that is not judged yet.
func (p *pass) count(one release.Release, out Outcome) {
	if one.Verdict != release.Pending {
		return
	}
	trial := p.unit.try(one.Number)
	for _, change := range out.Changes {
		switch change.Action {
		case object.Created:
			trial.counts.Created++
			trial.made = append(trial.made, change.Ref)
		case object.Configured:
			trial.counts.Configured++
		}
	}
	trial.counts.Deleted += len(out.Pruned.Made())
	if len(trial.stages) == 0 {
		trial.stages = p.run.stages
	}
}

// noted adds to a release what was noted of it.
func (p *pass) noted(one release.Release) release.Release {
	if trial := p.unit.trial; trial.number == one.Number && len(one.Stages) == 0 {
		trial.counts.Objects = one.Counts.Objects
		one.Counts, one.Made, one.Stages = trial.counts, trial.made, trial.stages
	}
	return one
}

// end gives a release its verdict, durably.
func (p *pass) end(ctx context.Context, one release.Release) error {
	if err := p.Shelf.Change(ctx, p.job.Unit, one); err != nil {
		return fmt.Errorf("keeping the verdict on release %d: %w", one.Number, err)
	}
	p.unit.book = p.unit.book.With(one)
	return nil
}

// standing returns what the cluster is on, from the shelf if need be.
func (p *pass) standing(ctx context.Context) (numbered, error) {
	standing, found := p.unit.book.Standing()
	if !found {
		return numbered{}, nil
	}
	return p.objects(ctx, standing.Number)
}
