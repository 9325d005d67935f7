package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
)

// Uphold corrects drift of what a unit has applied so far, without a look at what it wants now, and
// goes on judging the release that is. It is for times when Git's wish cannot be known: a source that
// is gone, a dependency that is not ready. The outcome is a failure for the given cause, unless the
// release that stands was condemned meanwhile.
func (l *Line) Uphold(ctx context.Context, job Job, cause error) Outcome {
	p, err := l.begin(ctx, job)
	if err != nil {
		return Outcome{Inventory: job.Inventory}.fail(also(cause, err))
	}
	out := p.reject(ctx, Outcome{Inventory: job.Inventory}, cause)
	return p.unit.mask(p.tell(p.tend(ctx, out)))
}

// reject ends a pass whose wish cannot be had, and upholds what was applied before.
func (p *pass) reject(ctx context.Context, out Outcome, err error) Outcome {
	out = out.fail(err)
	if len(p.unit.memory) == 0 || p.unit.behind {
		return p.recover(ctx, out)
	}
	return p.uphold(ctx, out, []check.Passed{p.unit.passed, p.unit.applied, p.unit.stood.set})
}

// uphold writes again what drifted of the sets that were applied, as far as the cluster is known to
// have had them: an object that a failed attempt did reach is not set back. What cannot be corrected
// is added to the error that there is.
func (p *pass) uphold(ctx context.Context, out Outcome, sets []check.Passed) Outcome {
	for _, set := range sets {
		drifted := p.upkeep(set.Only(func(wanted object.Object) bool { return p.unit.drifted(p.job.Unit, wanted, p.live) }), &out)
		if len(drifted.Objects()) == 0 {
			continue
		}
		out = p.correct(ctx, out, drifted)
	}
	return out
}

// recover upholds the standing release after a restart, when nothing is remembered of it: it is
// compared with the cluster as a whole, until that has succeeded once.
func (p *pass) recover(ctx context.Context, out Outcome) Outcome {
	standing, err := p.standing(ctx)
	if err != nil || standing.number == 0 {
		out.Err = also(out.Err, err)
		return out
	}
	p.unit.stood = standing
	if err := p.claim(standing.set); err != nil {
		return out.fail(also(out.Err, err))
	}
	if p.unit.early(p.job, p.live) {
		return out.again(lookPause)
	}
	p.unit.behind = true
	return p.correct(ctx, out, p.upkeep(standing.set, &out))
}

// correct writes a set that has been in the cluster before.
func (p *pass) correct(ctx context.Context, out Outcome, set check.Passed) Outcome {
	hold, after := p.unit.fights.review(ctx, p.unit.now, p.job, set, p.unit.memory, p.live, &out)
	p.noteContests(ctx, &out)
	drifts, err := p.announceDrift(ctx, set, hold)
	if err != nil {
		out.Err = also(out.Err, err)
		return out.again(upholdPause)
	}
	result, err := p.apply.Apply(ctx, apply.Request{
		Cluster: p.job.Site.Cluster, Set: set, Memory: p.unit.memory, View: p.live, Owner: p.job.Unit,
		Force: p.job.Force, Ignore: p.job.Ignore, Hold: hold,
	})
	p.confirmDrift(ctx, drifts, result.Changes, err)
	out.Upheld = append(out.Upheld, result.Changes.Made()...)
	p.unit.behind = p.unit.behind && err != nil
	if err != nil && after == 0 {
		after = upholdPause
	}
	if after != 0 {
		out = out.again(after)
	}
	out.Err = also(out.Err, err)
	return out
}

// upholdPause is when to try again what could not be corrected, however the unit itself stands.
const upholdPause = 5 * time.Second

// tend goes on judging the standing release while Git's newer wish cannot be had.
func (p *pass) tend(ctx context.Context, out Outcome) Outcome {
	latest, found := p.unit.book.Latest()
	if !found || latest.Verdict != release.Pending || len(p.unit.memory) == 0 {
		return out
	}
	standing, err := p.standing(ctx)
	if err != nil {
		return out
	}
	to := goal{set: standing.set, hooks: standing.hooks, release: latest}
	judged := p.conclude(ctx, to, p.settle(standing.set, Outcome{Inventory: out.Inventory}))
	if now, _ := p.unit.book.Latest(); now.Undone() {
		judged.Upheld = append(out.Upheld, judged.Upheld...)
		return judged
	}
	if judged.After > 0 {
		out = out.again(judged.After)
	}
	return out
}

// drifted tells whether the cluster had an object exactly as wanted, and has it so no more. One that
// another unit took over meanwhile is that unit's: what this one wants now may well agree.
func (u *unit) drifted(self object.Owner, wanted object.Object, live liveView) bool {
	digest, applied := u.memory[wanted.Key()]
	if !applied || digest != wanted.Digest {
		return false
	}
	state := live.Live(wanted.Ref)
	if state.Exists && state.Owner != self {
		return false
	}
	lost := !state.Exists && !wanted.Rules.Expires
	return state.Known && !state.Deleting && (state.Drifted || lost)
}

// also adds an error to the one that counts, unless that one says it already.
func also(main, more error) error {
	switch {
	case more == nil, main != nil && strings.Contains(main.Error(), more.Error()):
		return main
	case main == nil:
		return fault.Because("ReconciliationFailed", more)
	}
	joined := fmt.Errorf("%w\nkeeping what was applied before: %s", main, more)
	return &fault.Error{Kind: fault.KindOf(main), Reason: fault.ReasonOf(main, ""), After: fault.AfterOf(main), Err: joined}
}
