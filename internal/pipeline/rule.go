package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline/settle"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/check"
)

// rule judges the release that a set is, and does what follows. The outcome says how the unit stands
// without regard to releases, and stays so unless the release is condemned.
func (p *pass) rule(ctx context.Context, to goal, out Outcome) Outcome {
	one := to.release
	if one.Verdict == release.Good {
		p.watchOver(to.set)
		return out
	}
	if one.Verdict == release.Failed && (one.Trigger == release.HookFailed || one.Trigger == release.TestFailed) {
		return out.fail(fault.Because(reasonFor(one.Trigger), errors.New(one.Cause+"; not rolled back: "+one.Note)))
	}
	sight, trouble := p.look(to, out)
	ruling, trigger := settle.Judge(one, sight, p.job.Policy, p.unit.now)
	if one.Verdict == release.Failed && ruling != settle.Praise && ruling != settle.Bake {
		return out // what failed may still come to good; it does not fail twice
	}
	switch ruling {
	case settle.Praise:
		return p.praise(ctx, one, out)
	case settle.Bake:
		return out.again(p.job.Policy.Bake - p.unit.now.Sub(sight.Healthy))
	case settle.Postpone:
		return out.again(outagePause)
	case settle.Condemn:
		return p.condemn(ctx, one, trigger, out.fail(fault.Because("HealthCheckFailed", cause(trigger, trouble, sight))))
	default:
		if !sight.Bad.IsZero() {
			out.Err = nil // not before it has been so for a moment
			return out.park(trouble.pendingList(), settle.Grace)
		}
		return out
	}
}

// look gathers what speaks for and against a release: the health of what the unit asks about, and of
// what the release changed, without what was unhealthy before.
func (p *pass) look(to goal, out Outcome) (settle.Sight, verdict) {
	trial := p.unit.try(to.release.Number)
	excused := make(map[object.Ref]bool, len(to.release.Baseline))
	for _, ref := range to.release.Baseline {
		excused[ref.Key()] = true
	}
	checks := p.job.checks(to.set)
	awaited := judge(checks, p.job.Site.Observer.State).without(excused)
	var touched []object.Ref
	for _, one := range to.set.Objects() {
		if (trial.changed == nil || trial.changed[one.Key()]) && p.minds(one) {
			touched = append(touched, one.Ref)
		}
	}
	all := awaited.and(judge(touched, p.job.Site.Observer.State).without(excused))
	sight := settle.Sight{
		Failed: len(all.failed), Pending: len(all.pending), Awaited: len(awaited.pending) > 0,
		Waited: out.Waited, Timeout: p.job.Timeout, Was: trial.was, Outage: p.outages.open(p.unit.now),
	}
	trial.note(p.unit.now, sight)
	sight.Healthy, sight.Bad = trial.healthy, trial.bad
	return sight, all
}

// minds tells whether the health of an object says something of a release: not of one that is left alone,
// or that others may have made.
func (p *pass) minds(one object.Object) bool {
	others := p.Family == object.HelmReleases && one.Rules.IfNotPresent
	return !one.Rules.Skipped() && one.Key() != p.job.Self.Key() && !others
}

// note keeps since when a release is healthy, or bad.
func (t *trial) note(now time.Time, sight settle.Sight) {
	healthy := sight.Failed+sight.Pending == 0
	late := sight.Awaited && sight.Waited >= sight.Timeout
	switch {
	case healthy && t.healthy.IsZero():
		t.healthy, t.was = now, true
	case !healthy:
		t.healthy = time.Time{}
	}
	switch bad := sight.Failed > 0 || late; {
	case bad && t.bad.IsZero():
		t.bad = now
	case !bad:
		t.bad = time.Time{}
	}
}

// cause says what a release is condemned for.
func cause(trigger release.Trigger, trouble verdict, sight settle.Sight) error {
	switch {
	case len(trouble.failed) > 0:
		return trouble.failure(sight.Waited)
	case trigger == release.TimedOut:
		return trouble.timeout(sight.Waited)
	default:
		return errors.New("objects are healthy no more: " + texts(trouble.pending))
	}
}

func reasonFor(trigger release.Trigger) string {
	if trigger == release.TestFailed {
		return ReasonTestFailed
	}
	return ReasonHookFailed
}

// praise ends the judgement of a release that is good.
func (p *pass) praise(ctx context.Context, one release.Release, out Outcome) Outcome {
	one = p.noted(one)
	one.Verdict, one.Ended = release.Good, p.unit.now
	entry := p.about(record.ReleaseGood, one)
	entry.Message = fmt.Sprintf("release %d is good", one.Number)
	entry.Details = map[string]string{"seconds": fmt.Sprintf("%.3f", one.Ended.Sub(one.Begun).Seconds())}
	p.conclusion(ctx, entry)
	if err := p.end(ctx, one); err != nil {
		return out.again(recordPause) // the cluster is fine; only our memory of it has to be made good
	}
	return out
}

// recordPause is when to try again to keep what could not be kept.
const recordPause = 5 * time.Second

// condemn ends a release badly, and goes back to the last good one if there is a way. The outcome has
// failed, and says why.
func (p *pass) condemn(ctx context.Context, one release.Release, trigger release.Trigger, out Outcome) Outcome {
	one = p.noted(one)
	p.excuse(ctx, &one)
	sentence := settle.Pass(p.unit.book, one, p.job.Policy, p.unit.now)
	one.Trigger, one.Cause, one.Decided = trigger, shortened(p.unit.hide(out.Err.Error())), p.Now()
	one.Note, one.Target, one.Frozen = sentence.Note, sentence.Target, sentence.Freeze
	if err := p.file(ctx, &one, End{Cause: one.Cause, Runs: one.Runs}); err != nil {
		return out.again(recordPause)
	}
	one.Verdict = release.RollingBack
	if sentence.Target == 0 {
		one.Verdict, one.Ended = release.Failed, one.Decided
	}
	entry := p.about(record.ReleaseFailed, one)
	entry.Message = one.Cause
	if one.Note != "" {
		entry.Details = map[string]string{"rollback": one.Note}
	}
	p.conclusion(ctx, entry)
	if sentence.Freeze {
		p.conclusion(ctx, p.about(record.Frozen, one))
	}
	if err := p.end(ctx, one); err != nil {
		return out.again(recordPause)
	}
	if sentence.Target == 0 {
		reason := fault.ReasonOf(out.Err, "ReconciliationFailed")
		return p.reject(ctx, out, fault.Because(reason, fmt.Errorf("%w; not rolled back: %s", out.Err, one.Note)))
	}
	return p.goBack(ctx, settle.Wish{}, out)
}

// excuse looks for what makes a release irreversible only now that it has run: a migration that is
// complete cannot be undone by writing older objects.
func (p *pass) excuse(ctx context.Context, one *release.Release) {
	own, err := p.objects(ctx, one.Number)
	if err != nil || one.ForwardOnly != "" {
		return
	}
	one.ForwardOnly = migrated(own.set.Objects(), p.unit.try(one.Number).changed, p.job.Site.Observer.State)
}

// watchOver reports a unit that becomes unhealthy although nobody changed it: many of those at a time
// are an outage, and no release is to blame for what goes wrong then.
func (p *pass) watchOver(set check.Passed) {
	failed := 0
	for _, wanted := range set.Objects() {
		state := p.job.Site.Observer.State(wanted.Ref)
		if broken(state) {
			failed++
		}
	}
	p.outages.report(p.job.Unit, failed > 0, p.unit.now)
}
