package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
)

// Uphold corrects drift of what a unit has applied so far, without a look at what it wants now. It is
// for times when that cannot be known: a build that fails, a dependency that is not ready. A unit that
// applied nothing since the program started has nothing to uphold. Of the job, only Unit, Site, Force,
// Ignore, Interval and Inventory matter. The outcome is a failure for the given cause.
func (l *Line) Uphold(ctx context.Context, job Job, cause error) Outcome {
	unit := l.units.of(job.Unit)
	unit.begin(job.Site, l.now())
	return unit.secrets.mask(l.reject(ctx, job, unit, Outcome{Inventory: job.Inventory}, cause))
}

// reject ends a pass whose wish cannot be had, and upholds what was applied before.
func (l *Line) reject(ctx context.Context, job Job, unit *unit, out Outcome, err error) Outcome {
	return l.uphold(ctx, job, unit, out.fail(err))
}

// uphold writes again what drifted of the sets that were applied, as far as the cluster is known to
// have had them: an object that a failed attempt did reach is not set back. What cannot be corrected
// is added to the error that there is.
func (l *Line) uphold(ctx context.Context, job Job, unit *unit, out Outcome) Outcome {
	live := liveView{job.Site.Observer}
	for _, set := range []check.Passed{unit.passed, unit.applied} {
		drifted := set.Only(func(wanted object.Object) bool { return unit.drifted(job.Unit, wanted, live) })
		if len(drifted.Objects()) == 0 {
			continue
		}
		hold, after := unit.fights.review(ctx, unit.now, job, drifted, unit.memory, live, &out)
		result, err := l.apply.Apply(ctx, apply.Request{
			Cluster: job.Site.Cluster, Set: drifted, Memory: unit.memory, View: live, Owner: job.Unit,
			Force: job.Force, Ignore: job.Ignore, Hold: hold,
		})
		out.Upheld = append(out.Upheld, result.Changes.Made()...)
		if err != nil && after == 0 {
			after = upholdPause
		}
		if after != 0 && (out.After == 0 || after < out.After) {
			out.After = after
		}
		out.Err = also(out.Err, err)
	}
	return out
}

// upholdPause is when to try again what could not be corrected, however the unit itself stands.
const upholdPause = 5 * time.Second

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
