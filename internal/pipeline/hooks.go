package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline/phase"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// Hooks are a unit's wishes about hooks.
type Hooks struct {
	// Off names the moments at which none run.
	Off map[phase.Moment]bool
	// Tests tells which tests run after a release was delivered, by name; nil is none.
	Tests func(name string) bool
	// TestsMayFail says that a failed test is told, and speaks against no release.
	TestsMayFail bool
}

// at returns the hooks that run at a moment.
func (h Hooks) at(moment phase.Moment, from check.Passed) []phase.Hook {
	if h.Off[moment] || moment == phase.Test && h.Tests == nil {
		return nil
	}
	hooks := phase.At(moment, from.Objects())
	if moment == phase.Test {
		hooks = slices.DeleteFunc(hooks, func(hook phase.Hook) bool { return !h.Tests(hook.Name) })
	}
	return hooks
}

// The reasons of failed hooks and tests.
const (
	ReasonHookFailed = "HookFailed"
	ReasonTestFailed = "TestFailed"
)

// performed says how far the hooks of a moment are.
type performed int

const (
	through performed = iota // all of them have run, or there are none
	waiting                  // the outcome says for what
	foiled                   // one failed; the outcome says why
)

// perform runs the hooks of a moment, one after another. What was begun is kept with the release before
// it is begun, so that none runs twice for the sake of a restart.
func (p *pass) perform(ctx context.Context, one *release.Release, from check.Passed, moment phase.Moment, out Outcome) (Outcome, performed) {
	hooks := p.job.Hooks.at(moment, from)
	tidied := p.unit.try(one.Number).tidied
	if len(hooks) == 0 || tidied[moment] {
		return out, through
	}
	for i, hook := range hooks {
		out, state := p.runHook(ctx, one, hook, moment, out)
		if state == waiting {
			return out, waiting
		}
		if state == foiled {
			if hook.Failed {
				p.drop(ctx, hook)
			}
			p.tidy(ctx, hooks[:i])
			return out, foiled
		}
	}
	p.tidy(ctx, hooks)
	if tidied == nil {
		p.unit.trial.tidied = map[phase.Moment]bool{}
	}
	p.unit.trial.tidied[moment] = true
	return out, through
}

// tidy deletes the hooks that are not to stay after they have run.
func (p *pass) tidy(ctx context.Context, ran []phase.Hook) {
	for _, hook := range slices.Backward(ran) {
		if hook.Succeeded {
			p.drop(ctx, hook)
		}
	}
}

// drop deletes a hook. What stays in the cluster disturbs nobody: it is deleted before its next run.
func (p *pass) drop(ctx context.Context, hook phase.Hook) {
	_ = p.job.Site.Cluster.Delete(ctx, hook.Ref, kube.DeleteOptions{})
}

// runAt returns the place of a hook's run among those of a release, or -1.
func runAt(one *release.Release, moment phase.Moment, ref object.Ref) int {
	return slices.IndexFunc(one.Runs, func(run release.Run) bool {
		return run.Moment == string(moment) && run.Ref.Key() == ref.Key()
	})
}

// runHook brings one hook as far as it will go.
func (p *pass) runHook(ctx context.Context, one *release.Release, hook phase.Hook, moment phase.Moment, out Outcome) (Outcome, performed) {
	at := runAt(one, moment, hook.Ref)
	if at < 0 {
		if gone, err := p.makeRoom(ctx, hook); err != nil {
			return out.fail(err), waiting
		} else if !gone {
			return out.park(fmt.Sprintf("waiting for %s, left by an earlier %s hook, to be gone", hook.Ref, moment), goneTime), waiting
		}
		at = len(one.Runs)
		one.Runs = append(slices.Clone(one.Runs), release.Run{Moment: string(moment), Ref: hook.Ref, Began: p.unit.now})
		if err := p.end(ctx, *one); err != nil {
			return out.fail(err).again(recordPause), waiting
		}
	}
	run := one.Runs[at]
	switch {
	case run.Failed:
		return out.fail(fault.Because(reasonOf(moment), fmt.Errorf("%s hook %s failed", moment, hook.Ref))), foiled
	case !run.Ended.IsZero():
		return out, through
	}
	done, failure, err := p.lookAt(ctx, hook, run)
	switch {
	case err != nil:
		return out.fail(err), waiting
	case failure == nil && !done && p.unit.now.Sub(run.Began) < p.job.Timeout:
		message := fmt.Sprintf("waiting for %s hook %s", moment, hook.Ref)
		return out.park(message, p.job.Timeout-p.unit.now.Sub(run.Began)), waiting
	case failure == nil && !done:
		failure = fmt.Errorf("it was not through within %s", p.job.Timeout)
	}
	one.Runs = slices.Clone(one.Runs)
	one.Runs[at].Ended, one.Runs[at].Failed = p.Now(), failure != nil
	if err := p.end(ctx, *one); err != nil {
		return out.fail(err).again(recordPause), waiting
	}
	if failure != nil {
		return out.fail(fault.Because(reasonOf(moment), fmt.Errorf("%s hook %s failed: %w", moment, hook.Ref, failure))), foiled
	}
	return out, through
}

func reasonOf(moment phase.Moment) string {
	if moment == phase.Test {
		return ReasonTestFailed
	}
	return ReasonHookFailed
}

// makeRoom deletes what an earlier run of a hook left, and tells whether it is gone.
func (p *pass) makeRoom(ctx context.Context, hook phase.Hook) (bool, error) {
	if !hook.Before {
		return true, nil
	}
	cluster := p.job.Site.Cluster
	live, err := cluster.Get(ctx, hook.Ref)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil && apply.Refused(err):
		return true, nil // the kind may come with the hook's own moment; the server will tell
	case err != nil:
		return false, fmt.Errorf("looking for what an earlier run of hook %s left: %w", hook.Ref, err)
	case live.GetDeletionTimestamp() == nil:
		err := cluster.Delete(ctx, hook.Ref, kube.DeleteOptions{UID: live.GetUID()})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return false, fmt.Errorf("deleting what an earlier run of hook %s left: %w", hook.Ref, err)
		}
	}
	_, err = cluster.Get(ctx, hook.Ref)
	return apierrors.IsNotFound(err), nil
}

// lookAt tells whether a hook that was begun is through, and makes it first where it is not there. Only
// Jobs and Pods have something to come through: the rest has its effect by being there.
func (p *pass) lookAt(ctx context.Context, hook phase.Hook, run release.Run) (done bool, failure, err error) {
	if err := p.claim(p.unit.claimed); err != nil {
		return false, nil, err
	}
	state := p.job.Site.Observer.State(hook.Ref)
	began := p.unit.trial.began[hook.Key()]
	switch {
	case state.Expired:
		return true, nil, nil
	case state.Exists && !state.Deleting && (state.Owner == p.job.Unit || began), began && !state.Known:
	case !state.Known && !began && run.Began.Before(p.unit.now): // after a restart: it may be there
		live, err := p.job.Site.Cluster.Get(ctx, hook.Ref)
		if err == nil && live.GetDeletionTimestamp() == nil {
			p.begun(hook)
			p.job.Site.Observer.Saw(live)
			return p.verdictOn(hook)
		}
		fallthrough
	default:
		answer, err := p.job.Site.Cluster.Apply(ctx, hook.Ref, hook.JSON, kube.ApplyOptions{Manager: p.apply.Manager()})
		switch {
		case err != nil && apply.Refused(err):
			return false, err, nil
		case err != nil:
			return false, nil, fmt.Errorf("applying hook %s: %w", hook.Ref, err)
		}
		p.begun(hook)
		p.job.Site.Observer.Saw(answer.Object)
	}
	return p.verdictOn(hook)
}

func (p *pass) begun(hook phase.Hook) {
	if p.unit.trial.began == nil {
		p.unit.trial.began = map[object.Ref]bool{}
	}
	p.unit.trial.began[hook.Key()] = true
}

// verdictOn tells whether a hook that is there is through.
func (p *pass) verdictOn(hook phase.Hook) (done bool, failure, err error) {
	if !worksOff(hook.Ref) {
		return true, nil, nil
	}
	switch health := p.job.Site.Observer.State(hook.Ref).Health; health.Status {
	case observe.Current:
		return true, nil, nil
	case observe.Failed:
		return false, errors.New(health.Message), nil
	default:
		return false, nil, nil
	}
}

// worksOff tells whether objects of a kind have something to do and are through then.
func worksOff(ref object.Ref) bool {
	return ref.Group == "batch" && ref.Kind == "Job" || ref.Group == "" && ref.Kind == "Pod"
}

// running returns the hooks that the latest release waits for.
func (u *unit) running() []object.Ref {
	latest, _ := u.book.Latest()
	var refs []object.Ref
	for _, run := range latest.Runs {
		if run.Ended.IsZero() && worksOff(run.Ref) {
			refs = append(refs, run.Ref)
		}
	}
	return refs
}

// prepare runs the hooks that come before a release. The release is begun then, though nothing of its set
// is written yet.
func (p *pass) prepare(ctx context.Context, to *goal, out Outcome) (Outcome, performed) {
	if p.job.Ledger == nil || !to.fresh && to.release.Verdict != release.Pending || to.release.Filed.Closed {
		return out, through
	}
	if to.fresh {
		some := len(p.job.Hooks.at(phase.PreInstall, to.hooks))+len(p.job.Hooks.at(phase.PreUpgrade, to.hooks)) > 0
		if !some {
			return out, through
		}
		if err := p.open(ctx, to); err != nil {
			return out.fail(err), waiting
		}
	}
	if to.release.Filed.Action == actionInstall {
		return p.perform(ctx, &to.release, to.hooks, phase.PreInstall, out)
	}
	return p.perform(ctx, &to.release, to.hooks, phase.PreUpgrade, out)
}

// actionInstall is what ledgers call the first release.
const actionInstall = "install"

// after does what follows when a release is in the cluster, and as healthy as was asked for: hooks, the
// ledger's entry, and tests.
func (p *pass) after(ctx context.Context, to *goal, out Outcome) (Outcome, performed) {
	one := &to.release
	open := one.Verdict == release.Pending || one.Verdict == release.Failed && one.Trigger != release.HookFailed && one.Trigger != release.TestFailed
	if p.job.Ledger == nil || !open || out.Phase != Done {
		return out, through
	}
	if !one.Filed.Closed || one.Verdict == release.Failed {
		moment := phase.PostUpgrade
		if one.Filed.Action == actionInstall {
			moment = phase.PostInstall
		}
		if out, state := p.perform(ctx, one, to.hooks, moment, out); state != through {
			return out, state
		}
		if err := p.file(ctx, one, End{Good: true, Runs: one.Runs}); err != nil {
			return out.fail(err).again(recordPause), waiting
		}
	}
	return p.test(ctx, to, out)
}

// test runs the tests of a release that was delivered.
func (p *pass) test(ctx context.Context, to *goal, out Outcome) (Outcome, performed) {
	one := &to.release
	if len(p.job.Hooks.at(phase.Test, to.hooks)) == 0 {
		return out, through
	}
	told := p.unit.try(one.Number).tidied[phase.Test]
	tested, state := p.perform(ctx, one, to.hooks, phase.Test, out)
	switch {
	case state == waiting || state == through && told:
		return tested, state
	case state == foiled && p.unit.trial.untested:
		return p.tolerate(tested, out)
	}
	if err := p.file(ctx, one, End{Good: true, Runs: one.Runs}); err != nil {
		return out.fail(err).again(recordPause), waiting
	}
	if state == foiled {
		p.unit.trial.untested = true
		return p.tolerate(tested, out)
	}
	return tested, through
}

// tolerate lets a failed test pass where the unit says that it may fail.
func (p *pass) tolerate(tested, out Outcome) (Outcome, performed) {
	if p.job.Hooks.TestsMayFail {
		return out, through
	}
	return tested, foiled
}

// file writes the end of a release into the ledger, and notes that it is there.
func (p *pass) file(ctx context.Context, one *release.Release, end End) error {
	if p.job.Ledger == nil || one.Filed.Revision == 0 {
		return nil
	}
	end.Cause = p.unit.hide(end.Cause)
	if err := p.job.Ledger.Close(ctx, one.Filed, end); err != nil {
		return fmt.Errorf("writing the end of release %d to the ledger: %w", one.Number, err)
	}
	if one.Filed.Closed {
		return nil
	}
	one.Filed.Closed = true
	return p.end(ctx, *one)
}

// triggerOf tells what a foiled moment condemns a release for.
func triggerOf(err error) release.Trigger {
	if fault.ReasonOf(err, "") == ReasonTestFailed {
		return release.TestFailed
	}
	return release.HookFailed
}

// upkeep returns the part of a set that is written although it was delivered before.
func (p *pass) upkeep(set check.Passed, out *Outcome) check.Passed {
	if p.job.Upkeep == Correct && p.Family == object.Kustomizations {
		return set
	}
	return set.Only(func(one object.Object) bool {
		state := p.live.observer.State(one.Ref)
		lost := state.Known && !state.Exists && !one.Rules.IfNotPresent && !one.Rules.Expires && !one.Rules.Skipped()
		mode := p.job.Upkeep
		if one.Rules.Drifts || state.Rules.Drifts {
			mode = Leave
		}
		if mode == Leave && lost || mode != Correct && state.Drifted {
			out.Drifted = append(out.Drifted, one.Ref)
		}
		return mode == Correct || mode == Restore && lost
	})
}

// delivered tells whether a goal is a release that was written as a whole before, so that writing it is
// upkeep.
func (g goal) delivered() bool {
	if g.fresh {
		return false
	}
	switch g.release.Verdict {
	case release.Good, release.RolledBack, release.RollbackFailed, release.Failed:
		return true
	case release.Pending:
		return g.release.Filed.Closed
	default:
		return false
	}
}
