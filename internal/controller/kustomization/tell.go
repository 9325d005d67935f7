package kustomization

import (
	"fmt"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/record"
)

// tell records an event in Flux's form: the reason is that of the Ready condition, and the revision
// goes along as metadata (flux-contract 8.16).
func (v *visit) tell(kind, message string) { v.tellWith(kind, message, nil) }

func (v *visit) tellWith(kind, message string, extra map[string]string) {
	reason := strings.ToLower(kind)
	if ready := apimeta.FindStatusCondition(v.status.Conditions, meta.ReadyCondition); ready != nil {
		reason = ready.Reason
	}
	v.tellAs(kind, reason, message, extra)
}

// tellAs records an event whose reason is not that of the Ready condition.
func (v *visit) tellAs(kind, reason, message string, extra map[string]string) {
	group := kustomizev1.GroupVersion.Group
	metadata := map[string]string{}
	for key, value := range extra {
		metadata[group+"/"+key] = value
	}
	if v.revision != "" {
		metadata[group+"/revision"] = v.revision
	}
	if v.origin != "" {
		metadata[group+"/originRevision"] = v.origin
	}
	v.Events.AnnotatedEventf(v.unit, metadata, kind, reason, "%s", shortened(message))
}

// maxEvent keeps events well below the size that the server accepts, in bytes.
const maxEvent = 32 << 10

func shortened(message string) string {
	if len(message) <= maxEvent {
		return message
	}
	kept := message[:strings.LastIndexByte(message[:maxEvent], '\n')+1]
	return fmt.Sprintf("%s… and %d more", kept, strings.Count(message[len(kept):], "\n")+1)
}

// tellChanges reports what a pass did to objects, one line each.
func (v *visit) tellChanges(out pipeline.Outcome) {
	if made := out.Changes.Made(); len(made) > 0 && out.Phase != pipeline.Failed {
		v.tell(corev1.EventTypeNormal, made.String())
	}
	if len(out.Upheld) > 0 {
		v.tell(corev1.EventTypeNormal, out.Upheld.String())
	}
	if made := out.Pruned.Made(); len(made) > 0 {
		v.tell(corev1.EventTypeNormal, made.String())
	}
	for _, contest := range out.Contested {
		v.tellAs(corev1.EventTypeWarning, string(record.Contested), contest, nil)
	}
}

// ConditionFindings is on a unit while something was found of what it wants that does not refuse it.
const ConditionFindings = "Findings"

// tellFindings reports what was found of a wish that passed: once, and by a condition as long as it is so.
func (v *visit) tellFindings(out pipeline.Outcome) {
	told := finding.Of(out.Told, finding.Warning)
	if len(told) == 0 {
		drop(&v.status, ConditionFindings)
		return
	}
	text := finding.Lines(told)
	before := apimeta.FindStatusCondition(v.status.Conditions, ConditionFindings)
	known := before != nil && before.Message == shortenedCondition(text)
	set(&v.status, ConditionFindings, metav1.ConditionTrue, "Warnings", text, v.generation)
	if !known {
		v.tell(corev1.EventTypeWarning, text)
	}
}

// tellSuccess reports a finished attempt, and a recovery where there is one.
func (v *visit) tellSuccess(out pipeline.Outcome, took time.Duration, changed, wasHealthy bool) {
	if out.Checked && (!wasHealthy || changed) {
		v.tell(corev1.EventTypeNormal, "Health check passed in "+out.Waited.Round(time.Millisecond).String())
	}
	v.tellWith(corev1.EventTypeNormal, fmt.Sprintf("Reconciliation finished in %s, next run in %s",
		took.Round(time.Millisecond), v.unit.Spec.Interval.Duration), map[string]string{"commit_status": "update"})
}

// tellFailure reports a failure once, when it is new, and again when somebody asked for the attempt.
func (v *visit) tellFailure(err error, kind fault.Kind) {
	reason := fault.ReasonOf(err, meta.ReconciliationFailedReason)
	if !changedCondition(&v.unit.Status, reason, err.Error()) && !v.asked {
		return
	}
	severity := corev1.EventTypeWarning
	if kind == fault.Waiting {
		severity = corev1.EventTypeNormal
	}
	v.tell(severity, err.Error())
}

func names(refs []object.Ref) string {
	lines := make([]string, len(refs))
	for i, ref := range refs {
		lines[i] = ref.String()
	}
	return strings.Join(lines, "\n")
}

func nameOf(u *kustomizev1.Kustomization) types.NamespacedName {
	return types.NamespacedName{Namespace: u.Namespace, Name: u.Name}
}
