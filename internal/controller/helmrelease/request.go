package helmrelease

import (
	"context"
	"fmt"
	"strconv"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"

	"holdfast.dev/holdfast/internal/helm"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline"
)

// remediation adds to a job what the unit says of failures. Where it says nothing, releases are undone and
// held as those of any unit are.
func (v *visit) remediation(job *pipeline.Job) {
	if v.unit.GetActiveRetry(false) != nil {
		job.Policy.Disabled = true // it is tried again on top of what failed
		return
	}
	upgrade := v.unit.GetUpgrade()
	if upgrade.Remediation == nil || installs(v.unit) {
		return
	}
	retries := upgrade.Remediation.Retries
	last := retries >= 0 && v.status.UpgradeFailures >= int64(retries)
	if last && !upgrade.Remediation.MustRemediateLastFailure() {
		job.Policy.Disabled = true
	}
	if retries > 0 {
		job.Policy.Budget = max(retries+1, 3)
	}
}

// retries tells how often a failed release is tried again by itself; negative is without end.
func (v *visit) retries() int {
	if v.memo.latest.Filed.Action == helm.ActionInstall {
		return v.unit.GetInstall().GetRemediation().GetRetries()
	}
	return v.unit.GetUpgrade().GetRemediation().GetRetries()
}

// retryAfter says when the unit's settings ask for another try of what failed, 0 for never.
func (v *visit) retryAfter(out pipeline.Outcome) time.Duration {
	latest := out.Latest
	over := latest.Verdict == release.Failed || latest.Verdict == release.RolledBack
	if !over || latest.Frozen {
		v.memo.retryAt = time.Time{}
		return 0
	}
	wait := time.Millisecond
	if strategy := v.unit.GetActiveRetry(false); strategy != nil {
		wait = strategy.GetRetryInterval()
	} else if retries := v.retries(); retries >= 0 && v.failures() > int64(retries) {
		v.memo.retryAt = time.Time{}
		return 0
	}
	if v.memo.retryAt.IsZero() {
		v.memo.retryAt = v.now().Add(wait)
	}
	return max(v.memo.retryAt.Sub(v.now()), time.Millisecond)
}

// failures is how often the action that failed last has failed in a row.
func (v *visit) failures() int64 {
	if v.memo.latest.Filed.Action == helm.ActionInstall {
		return v.status.InstallFailures
	}
	return v.status.UpgradeFailures
}

// count counts a failure once.
func (v *visit) count(out pipeline.Outcome) {
	latest := out.Latest
	bad := latest.Verdict == release.Failed || latest.Undone()
	if !bad || latest.Number == v.memo.counted || latest.Trigger == release.Manual {
		return
	}
	if v.memo.counted == 0 && v.status.Failures > 0 { // a restart; it was counted before
		v.counting = latest.Number
		v.memo.failing = v.status.ObservedGeneration
		return
	}
	v.counting, v.memo.failing = latest.Number, v.unit.Generation
	v.status.Failures++
	if latest.Filed.Action == helm.ActionInstall {
		v.status.InstallFailures++
	} else {
		v.status.UpgradeFailures++
	}
}

// request adds to a job what asks for another try beside a person: Flux's annotations, settings that are
// others now, the unit's remediation, and a storage that somebody else has changed.
func (v *visit) request(ctx context.Context, job *pipeline.Job, due bool) error {
	if job.Retry != nil && job.Retry.Token != v.memo.person {
		v.memo.person = job.Retry.Token // what a person asks for comes first
		return nil
	}
	latest := v.memo.latest
	bad := latest.Verdict == release.Failed || latest.Verdict == release.RolledBack || latest.Verdict == release.RollbackFailed
	automatic := func(token, why string) {
		job.Retry = &release.Request{Token: token, Reason: why, Automatic: true}
	}
	asked, _ := meta.ReconcileAnnotationValue(v.unit.Annotations)
	force, reset := v.unit.Annotations[helmv2.ForceRequestAnnotation], v.unit.Annotations[helmv2.ResetRequestAnnotation]
	switch {
	case force != "" && force == asked && force != v.status.LastHandledForceAt:
		automatic("force="+force, "asked for by annotation "+helmv2.ForceRequestAnnotation)
	case reset != "" && reset == asked && reset != v.status.LastHandledResetAt && bad:
		v.status.ClearFailures()
		automatic("reset="+reset, "asked for by annotation "+helmv2.ResetRequestAnnotation)
	case bad && latest.Trigger != release.Manual && v.memo.failing != 0 && v.memo.failing != v.unit.Generation:
		v.status.ClearFailures()
		v.memo.failing = v.unit.Generation
		automatic("generation="+strconv.FormatInt(v.unit.Generation, 10), "the resource is another one")
	case bad && !v.memo.retryAt.IsZero() && !v.now().Before(v.memo.retryAt):
		v.memo.retryAt = time.Time{}
		automatic(fmt.Sprintf("remediation=%d", latest.Number), "as the unit's remediation says")
	case due && len(v.status.History) > 0:
		heads, err := v.helm.Heads(ctx)
		if err != nil {
			return fault.Because(meta.ReconciliationFailedReason, err)
		}
		known := helm.Known{Version: v.status.History.Latest().Version, Status: v.status.History.Latest().Status}
		busy := v.underWay()
		if token, why := helm.Again(heads, known, busy); why != "" {
			automatic(token, why)
		}
	}
	return nil
}

// underWay tells whether an action of ours is under way, as far as is known.
func (v *visit) underWay() bool {
	latest := v.memo.latest
	if latest.Number != 0 {
		return latest.Verdict == release.Pending && !latest.Filed.Closed || latest.Verdict == release.RollingBack
	}
	ready := condition(&v.status, meta.ReadyCondition)
	return ready != nil && ready.Reason == meta.ProgressingReason
}

// handled notes that requests by annotation were seen.
func (v *visit) handled(token string) {
	if v.unit.Annotations[helmv2.ForceRequestAnnotation] == token {
		v.status.LastHandledForceAt = token
	}
	if v.unit.Annotations[helmv2.ResetRequestAnnotation] == token {
		v.status.LastHandledResetAt = token
	}
}
