package kustomization

import (
	"fmt"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// attempt is what one visit tries: the label of the desired state, and for which generation.
type attempt struct {
	generation int64
	revision   string
	origin     string
	timeout    time.Duration
}

// set adds or replaces a condition. Flux's limit on messages is ours: a longer one would be refused.
func set(status *kustomizev1.KustomizationStatus, kind string, value metav1.ConditionStatus, reason, message string, generation int64) {
	apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: kind, Status: value, Reason: reason, Message: shortenedCondition(message), ObservedGeneration: generation,
	})
}

func shortenedCondition(message string) string {
	const ellipsis = " …"
	if len(message) <= kustomizev1.MaxConditionMessageLength {
		return message
	}
	return strings.ToValidUTF8(message[:kustomizev1.MaxConditionMessageLength-len(ellipsis)], "") + ellipsis
}

func drop(status *kustomizev1.KustomizationStatus, kinds ...string) {
	for _, kind := range kinds {
		apimeta.RemoveStatusCondition(&status.Conditions, kind)
	}
}

// stands tells whether the status says already that this very attempt succeeded. What happens then
// is upkeep: it shows in the status only if it fails.
func (a attempt) stands(status *kustomizev1.KustomizationStatus) bool {
	return status.ObservedGeneration == a.generation && status.LastAppliedRevision == a.revision &&
		apimeta.IsStatusConditionTrue(status.Conditions, meta.ReadyCondition)
}

// progressing says that the attempt is under way.
func (a attempt) progressing(status *kustomizev1.KustomizationStatus, checking bool) {
	message := fmt.Sprintf("Applying manifests for revision %s with a timeout of %s", a.revision, a.timeout)
	if checking {
		message = fmt.Sprintf("Running health checks for revision %s with a timeout of %s", a.revision, a.timeout)
		set(status, meta.HealthyCondition, metav1.ConditionUnknown, meta.ProgressingReason, message, a.generation)
	}
	status.LastAttemptedRevision = a.revision
	set(status, meta.ReadyCondition, metav1.ConditionUnknown, meta.ProgressingReason, "Reconciliation in progress", a.generation)
	set(status, meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingReason, message, a.generation)
	drop(status, meta.StalledCondition)
}

// succeeded says that the cluster has what the revision wants, and that it is healthy where asked.
func (a attempt) succeeded(status *kustomizev1.KustomizationStatus, checked bool, waited time.Duration) {
	status.LastAttemptedRevision, status.LastAppliedRevision = a.revision, a.revision
	status.LastAppliedOriginRevision = a.origin
	status.ObservedGeneration = a.generation
	set(status, meta.ReadyCondition, metav1.ConditionTrue, meta.ReconciliationSucceededReason, "Applied revision: "+a.revision, a.generation)
	drop(status, meta.ReconcilingCondition, meta.StalledCondition)
	switch {
	case !checked:
		drop(status, meta.HealthyCondition)
	case !apimeta.IsStatusConditionTrue(status.Conditions, meta.HealthyCondition):
		message := "Health check passed in " + waited.Round(time.Millisecond).String()
		set(status, meta.HealthyCondition, metav1.ConditionTrue, meta.SucceededReason, message, a.generation)
	}
}

// failed says why the attempt came to nothing. A stalled one waits for a person; any other is tried
// again by itself.
func (a attempt) failed(status *kustomizev1.KustomizationStatus, reason, message string, stalled bool) {
	set(status, meta.ReadyCondition, metav1.ConditionFalse, reason, message, a.generation)
	if reason == meta.HealthCheckFailedReason {
		set(status, meta.HealthyCondition, metav1.ConditionFalse, reason, message, a.generation)
	}
	if a.revision != "" && reason != meta.DependencyNotReadyReason && reason != meta.ArtifactFailedReason {
		status.LastAttemptedRevision = a.revision
	}
	if stalled {
		status.ObservedGeneration = a.generation
		drop(status, meta.ReconcilingCondition)
		set(status, meta.StalledCondition, metav1.ConditionTrue, reason, message, a.generation)
		return
	}
	drop(status, meta.StalledCondition)
	if reconciling := apimeta.FindStatusCondition(status.Conditions, meta.ReconcilingCondition); reconciling != nil {
		set(status, meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, reconciling.Message, a.generation)
	}
}

// remember adds the attempt to the history that Flux 2.7 introduced: at most five entries, one for
// each pair of digest and result.
func (a attempt) remember(status *kustomizev1.KustomizationStatus, digest, reason string, now time.Time, took time.Duration) {
	metadata := map[string]string{"revision": a.revision}
	if a.origin != "" {
		metadata["originRevision"] = a.origin
	}
	status.History.Upsert(digest, now, took, reason, metadata)
}
