package helmrelease

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/helm"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline"
)

// maxMessage is Flux's limit on messages of conditions.
const maxMessage = 20000

func (v *visit) set(kind string, value metav1.ConditionStatus, reason, message string) {
	const ellipsis = " …"
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage-len(ellipsis)], "") + ellipsis
	}
	apimeta.SetStatusCondition(&v.status.Conditions, metav1.Condition{
		Type: kind, Status: value, Reason: reason, Message: message, ObservedGeneration: v.unit.Generation,
	})
}

func (v *visit) unset(kinds ...string) {
	for _, kind := range kinds {
		apimeta.RemoveStatusCondition(&v.status.Conditions, kind)
	}
}

func condition(status *helmv2.HelmReleaseStatus, kind string) *metav1.Condition {
	return apimeta.FindStatusCondition(status.Conditions, kind)
}

// stands tells whether the status says already that what is wanted is delivered.
func (v *visit) stands() bool {
	return v.status.ObservedGeneration == v.unit.Generation && v.status.LastAttemptedRevision == v.chart.version &&
		apimeta.IsStatusConditionTrue(v.status.Conditions, meta.ReadyCondition)
}

// release names the release as Flux's messages do.
func (v *visit) release(version int) string {
	name := v.unit.GetReleaseNamespace() + "/" + releaseName(v.unit)
	if version > 0 {
		name += fmt.Sprintf(".v%d", version)
	}
	return name
}

// attempted notes what is tried, and how far it has come.
func (v *visit) attempted(out pipeline.Outcome) {
	v.memo.latest = out.Latest
	v.status.LastAttemptedGeneration = v.unit.Generation
	v.status.LastAttemptedRevision, v.status.LastAttemptedRevisionDigest = v.chart.version, v.chart.ociDigest
	v.status.LastAttemptedConfigDigest = v.helm.Configured
	v.status.StorageNamespace = v.unit.GetStorageNamespace()
	v.status.ObservedPostRenderersDigest = digestOf(v.unit.Spec.PostRenderers, len(v.unit.Spec.PostRenderers))
	v.status.ObservedCommonMetadataDigest = ""
	if common := v.unit.Spec.CommonMetadata; common != nil {
		v.status.ObservedCommonMetadataDigest = digestOf(common, 1)
	}
	switch latest := out.Latest; latest.Filed.Action { // the definition allows no other action here
	case helm.ActionInstall:
		v.acted(helmv2.ReleaseActionInstall, latest)
	case helm.ActionUpgrade:
		v.acted(helmv2.ReleaseActionUpgrade, latest)
	}
}

// acted notes the latest action, and once it is over how long it took.
func (v *visit) acted(action helmv2.ReleaseAction, latest release.Release) {
	ended := latest.Decided
	if ended.IsZero() && latest.Filed.Closed {
		ended = v.now()
	}
	if v.status.LastAttemptedReleaseAction != action || v.memo.latest.Number != v.before {
		v.status.LastAttemptedReleaseAction, v.status.LastAttemptedReleaseActionDuration = action, nil
	}
	if v.status.LastAttemptedReleaseActionDuration == nil && !ended.IsZero() {
		v.status.LastAttemptedReleaseActionDuration = &metav1.Duration{Duration: max(ended.Sub(latest.Begun), time.Millisecond).Round(time.Millisecond)}
	}
}

// digestOf is the digest of a part of the spec, "" where it is empty.
func digestOf(part any, length int) string {
	if length == 0 {
		return ""
	}
	sum := sha256.New()
	if json.NewEncoder(sum).Encode(part) != nil {
		return ""
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// remember brings what was written to Helm's storage into the history.
func (v *visit) remember() {
	for _, one := range v.memo.book.Snapshots() {
		made := snapshotOf(one)
		found := false
		for i, old := range v.status.History {
			if found = old.Targets(made.Name, made.Namespace, made.Version); found {
				if made.Action == "" {
					made.Action = old.Action
				}
				if !old.Deleted.IsZero() {
					made = old
				}
				v.status.History[i] = made
				break
			}
		}
		if !found {
			v.status.History = append(v.status.History, made)
		}
	}
	v.status.History.SortByVersion()
	for i, old := range v.status.History {
		if i > 0 && old.Status == "deployed" && v.status.History[0].Status == "deployed" {
			superseded := old.DeepCopy()
			superseded.Status = "superseded"
			v.status.History[i] = superseded
		}
	}
	v.status.History.TruncateIgnoringPreviousSnapshots()
}

func snapshotOf(one helm.Snapshot) *helmv2.Snapshot {
	made := &helmv2.Snapshot{
		APIVersion: helmv2.CurrentSnapshotAPIVersion, Digest: one.Digest, Name: one.Name, Namespace: one.Namespace,
		Version: one.Version, Status: one.Status, Action: helmv2.ReleaseAction(one.Action),
		ChartName: one.ChartName, ChartVersion: one.ChartVersion, AppVersion: one.AppVersion, ConfigDigest: one.ConfigDigest,
		FirstDeployed: second(metav1.NewTime(one.FirstDeployed)), LastDeployed: second(metav1.NewTime(one.LastDeployed)), OCIDigest: one.OCIDigest,
	}
	if !one.Deleted.IsZero() {
		made.Deleted = second(metav1.NewTime(one.Deleted))
	}
	tests := map[string]*helmv2.TestHookStatus{}
	for name, run := range one.Tests {
		if run.StartedAt.IsZero() {
			continue
		}
		tests[name] = &helmv2.TestHookStatus{
			LastStarted: second(metav1.NewTime(run.StartedAt)), LastCompleted: second(metav1.NewTime(run.CompletedAt)), Phase: run.Phase.String(),
		}
	}
	if len(tests) > 0 {
		made.SetTestHooks(tests)
	}
	return made
}

// second cuts a time to what the server keeps of it, so that a status that is read is one that was written.
func second(at metav1.Time) metav1.Time {
	if at.IsZero() {
		return metav1.Time{}
	}
	return at.Rfc3339Copy()
}

// progressing says that an action is under way.
func (v *visit) progressing(what string) {
	action := "upgrade"
	if installs(v.unit) {
		action = "install"
	}
	message := fmt.Sprintf("Running '%s' action with timeout of %s", action, v.unit.GetTimeout().Duration)
	if what != "" {
		message += ": " + what
	}
	v.set(meta.ReadyCondition, metav1.ConditionUnknown, meta.ProgressingReason, message)
	v.set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingReason, message)
	v.unset(meta.StalledCondition)
}

// succeeded says that the release is delivered.
func (v *visit) succeeded(out pipeline.Outcome) {
	latest := v.status.History.Latest()
	v.status.ObservedGeneration = v.unit.Generation
	v.unset(meta.ReconcilingCondition, meta.StalledCondition, helmv2.RemediatedCondition)
	v.status.ClearFailures()
	v.memo.counted, v.memo.failing = 0, 0
	if latest == nil {
		v.set(meta.ReadyCondition, metav1.ConditionTrue, meta.SucceededReason, "Release is in place")
		return
	}
	reason, verb := helmv2.UpgradeSucceededReason, "upgrade"
	if latest.Action == helmv2.ReleaseActionInstall {
		reason, verb = helmv2.InstallSucceededReason, "install"
	}
	message := fmt.Sprintf("Helm %s succeeded for release %s with chart %s", verb, v.release(latest.Version), latest.VersionedChartName())
	v.set(helmv2.ReleasedCondition, metav1.ConditionTrue, reason, message)
	if v.unit.GetTest().Enable && latest.HasBeenTested() {
		tests := len(latest.GetTestHooks())
		if latest.HasTestInPhase("Failed") {
			v.set(helmv2.TestSuccessCondition, metav1.ConditionFalse, helmv2.TestFailedReason, "Helm test failed for release "+v.release(latest.Version)+" with chart "+latest.VersionedChartName())
		} else {
			reason = helmv2.TestSucceededReason
			message = fmt.Sprintf("Helm test succeeded for release %s with chart %s: %d test hooks completed successfully", v.release(latest.Version), latest.VersionedChartName(), tests)
			v.set(helmv2.TestSuccessCondition, metav1.ConditionTrue, reason, message)
		}
	} else {
		v.unset(helmv2.TestSuccessCondition)
	}
	v.set(meta.ReadyCondition, metav1.ConditionTrue, reason, message)
}

// failed says why a visit came to nothing before any action.
func (v *visit) failed(reason, message string, stalled bool) {
	v.set(meta.ReadyCondition, metav1.ConditionFalse, reason, message)
	if stalled {
		v.status.ObservedGeneration = v.unit.Generation
		v.unset(meta.ReconcilingCondition)
		v.set(meta.StalledCondition, metav1.ConditionTrue, reason, message)
		return
	}
	v.unset(meta.StalledCondition)
	if reconciling := condition(&v.status, meta.ReconcilingCondition); reconciling != nil {
		v.set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, reconciling.Message)
	}
}

// ours are the reasons of the line that are told as they are.
func ours(reason string) bool {
	switch reason {
	case string(release.RolledBack), string(release.RollbackFailed), "RollingBack", "Frozen", "RollbackRefused":
		return true
	default:
		return false
	}
}

// unreleased says that an action failed, and what was done about it.
func (v *visit) unreleased(out pipeline.Outcome, reason string, stalled bool) {
	text, latest := out.Err.Error(), out.Latest
	released, verb := helmv2.UpgradeFailedReason, "upgrade"
	if latest.Filed.Action == helm.ActionInstall || latest.Number == 0 && installs(v.unit) {
		released, verb = helmv2.InstallFailedReason, "install"
	}
	cause := text
	if latest.Cause != "" && (latest.Undone() || latest.Verdict == release.Failed) {
		cause = latest.Cause
	}
	message := fmt.Sprintf("Helm %s failed for release %s with chart %s@%s: %s", verb, v.release(0), v.chart.name, v.chart.version, cause)
	switch {
	case latest.Trigger == release.TestFailed || reason == pipeline.ReasonTestFailed:
		released = helmv2.TestFailedReason
		message = fmt.Sprintf("Helm test failed for release %s with chart %s@%s: %s", v.release(0), v.chart.name, v.chart.version, cause)
		v.set(helmv2.TestSuccessCondition, metav1.ConditionFalse, released, message)
	case latest.Trigger != release.Manual:
		v.set(helmv2.ReleasedCondition, metav1.ConditionFalse, released, message)
		v.unset(helmv2.TestSuccessCondition)
	}
	v.remediated(latest)
	if ours(reason) {
		v.failed(reason, text, stalled)
		return
	}
	if latest.Verdict == release.Failed && stalledBy(v, latest) {
		v.failed(released, message, false)
		v.status.ObservedGeneration = v.unit.Generation
		v.unset(meta.ReconcilingCondition)
		v.set(meta.StalledCondition, metav1.ConditionTrue, "RetriesExceeded", fmt.Sprintf("Failed to %s after %d attempt(s)", verb, v.failures()))
		return
	}
	v.failed(released, message, stalled)
}

// stalledBy tells whether a failed release is not tried again by itself.
func stalledBy(v *visit, latest release.Release) bool {
	if v.unit.GetActiveRetry(false) != nil {
		return false
	}
	retries := v.retries()
	return retries >= 0 && v.failures() > int64(retries)
}

// remediated says how a failed release was undone.
func (v *visit) remediated(latest release.Release) {
	target := fmt.Sprintf("release %d", latest.Target)
	for _, one := range v.status.History {
		if one.Version == latest.Back.Revision {
			target = fmt.Sprintf("%s with chart %s", v.release(one.Version), one.VersionedChartName())
		}
	}
	switch latest.Verdict {
	case release.RolledBack:
		v.set(helmv2.RemediatedCondition, metav1.ConditionTrue, helmv2.RollbackSucceededReason, "Helm rollback to previous release "+target+" succeeded")
	case release.RollbackFailed:
		v.set(helmv2.RemediatedCondition, metav1.ConditionFalse, helmv2.RollbackFailedReason, "Helm rollback to previous release "+target+" failed: "+latest.Note)
	default:
		v.unset(helmv2.RemediatedCondition)
	}
}

// drifted tells of what others changed.
func (v *visit) drifted(out pipeline.Outcome) {
	mode := v.unit.GetDriftDetection()
	switch {
	case len(out.Drifted) > 0 && mode.GetMode() == helmv2.DriftDetectionWarn:
		names := make([]string, len(out.Drifted))
		for i, ref := range out.Drifted {
			names[i] = ref.String()
		}
		v.set(helmv2.DriftedCondition, metav1.ConditionTrue, helmv2.DriftDetectedReason, "Cluster state of release "+v.release(0)+" has drifted from the desired state:\n"+strings.Join(names, "\n"))
	case mode.MustDetectChanges():
		v.set(helmv2.DriftedCondition, metav1.ConditionFalse, helmv2.NoDriftDetectedReason, "No drift detected for release "+v.release(0))
	default:
		v.unset(helmv2.DriftedCondition)
	}
}
