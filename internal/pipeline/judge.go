package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// settle decides whether an applied set is healthy, unhealthy, or still on its way.
func (p *pass) settle(passed check.Passed, out Outcome) Outcome {
	job, unit := p.job, p.unit
	checks := job.checks(passed)
	if len(checks) == 0 {
		unit.wait = wait{}
		return out
	}
	out.Checked = true
	verdict := judge(checks, job.Site.Observer.State)
	now := p.Now()
	if unit.wait.restarts(verdict, out, job.Restart) {
		unit.wait = wait{fingerprint: out.Fingerprint, since: now}
	}
	if !unit.wait.over {
		out.Waited = now.Sub(unit.wait.since)
	}
	switch decide(verdict, out.Waited, job.Timeout) {
	case keep:
		out.Healthy, unit.wait.over = true, true
		return out
	case giveUp:
		return out.fail(fault.Because("HealthCheckFailed", verdict.failure(out.Waited)))
	case timeOut:
		return out.fail(fault.Because("HealthCheckFailed", verdict.timeout(out.Waited)))
	default:
		return out.park(verdict.pendingList(), job.Timeout-out.Waited)
	}
}

// restarts tells whether the clock begins anew: there is something new to wait for, somebody asked,
// or what was healthy is not any more.
func (w wait) restarts(v verdict, out Outcome, asked bool) bool {
	regressed := w.over && len(v.pending)+len(v.failed) > 0
	return w.fingerprint != out.Fingerprint || asked || regressed || len(out.Changes.Made()) > 0
}

// checks returns what must be healthy: everything that is applied, or what the unit names. A unit
// never waits for itself, and never for an object that it leaves alone.
func (j Job) checks(passed check.Passed) []object.Ref {
	refs := j.Checks
	if j.Wait {
		refs = make([]object.Ref, 0, len(passed.Objects()))
		for _, one := range passed.Objects() {
			job := j.NoJobs && one.Group == "batch" && one.Kind == "Job"
			others := j.Ledger != nil && one.Rules.IfNotPresent // a definition that somebody else may have made
			if !one.Rules.Skipped() && !job && !others {
				refs = append(refs, one.Ref)
			}
		}
	}
	checks := make([]object.Ref, 0, len(refs))
	for _, ref := range refs {
		if ref.Key() != j.Self.Key() {
			checks = append(checks, ref)
		}
	}
	return checks
}

// verdict is the health of what a unit asks for, objects that are fine left out.
type verdict struct {
	failed, pending []judged
}

type judged struct {
	ref    object.Ref
	health observe.Health
}

// judge asks for the health of each object.
func judge(refs []object.Ref, state func(object.Ref) observe.State) verdict {
	var found verdict
	for _, ref := range refs {
		live := state(ref)
		switch {
		case live.Rules.Skipped(), live.Expired:
		case !live.Known || !live.Exists:
			found.pending = append(found.pending, judged{ref, observe.Health{Status: observe.NotFound}})
		case live.Health.Status == observe.Current:
		case live.Health.Status == observe.Failed:
			found.failed = append(found.failed, judged{ref, live.Health})
		default:
			found.pending = append(found.pending, judged{ref, live.Health})
		}
	}
	return found
}

// action is what follows from a verdict.
type action int

const (
	keep action = iota
	lookAgain
	giveUp
	timeOut
)

// decide is the pure heart of settling: a failure is final at once, as there is no sense in sitting
// out the timeout (flux-contract 2.9: fail fast).
func decide(v verdict, waited, timeout time.Duration) action {
	switch {
	case len(v.failed) > 0:
		return giveUp
	case len(v.pending) == 0:
		return keep
	case waited >= timeout:
		return timeOut
	default:
		return lookAgain
	}
}

func (v verdict) failure(waited time.Duration) error {
	return fmt.Errorf("health check failed after %s: failed early due to stalled resources: %s", waited.Round(time.Millisecond), texts(v.failed))
}

func (v verdict) timeout(waited time.Duration) error {
	return errors.New("health check failed after " + waited.Round(time.Millisecond).String() + ": timeout waiting for: " + texts(v.pending))
}

func (v verdict) pendingList() string {
	return "waiting for " + texts(slices.Concat(v.failed, v.pending))
}

// without leaves out what is excused, by Ref.Key.
func (v verdict) without(excused map[object.Ref]bool) verdict {
	drop := func(one judged) bool { return excused[one.ref.Key()] }
	return verdict{failed: slices.DeleteFunc(v.failed, drop), pending: slices.DeleteFunc(v.pending, drop)}
}

// and joins two verdicts; an object in both counts once.
func (v verdict) and(other verdict) verdict {
	return verdict{failed: joinJudged(v.failed, other.failed), pending: joinJudged(v.pending, other.pending)}
}

func joinJudged(some, more []judged) []judged {
	seen := make(map[object.Ref]bool, len(some))
	for _, one := range some {
		seen[one.ref.Key()] = true
	}
	joined := slices.Clone(some)
	for _, one := range more {
		if !seen[one.ref.Key()] {
			joined = append(joined, one)
		}
	}
	return joined
}

// texts writes judged objects in the form of Flux's messages: "[Kind/namespace/name status: 'X': why]".
func texts(list []judged) string {
	const shown = 20
	parts := make([]string, 0, len(list))
	for i, one := range list {
		if i == shown {
			parts = append(parts, fmt.Sprintf("and %d more", len(list)-shown))
			break
		}
		part := fmt.Sprintf("%s status: '%s'", one.ref, one.health.Status)
		if one.health.Message != "" {
			part += ": " + one.health.Message
		}
		parts = append(parts, part)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
