package helmrelease

import (
	"fmt"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/pipeline"
)

// tell records an event in Flux's form.
func (v *visit) tell(kind, message string) {
	group := helmv2.GroupVersion.Group
	metadata := map[string]string{}
	if v.chart.version != "" {
		metadata[group+"/revision"] = v.chart.version
	}
	if v.chart.label.Origin != "" {
		metadata[group+"/originRevision"] = v.chart.label.Origin
	}
	if v.helm != nil {
		metadata[group+"/token"] = v.helm.Configured
	}
	if v.chart.ociDigest != "" {
		metadata[group+"/oci-digest"] = v.chart.ociDigest
	}
	reason := strings.ToLower(kind)
	if ready := condition(&v.status, meta.ReadyCondition); ready != nil {
		reason = ready.Reason
	}
	const most = 32 << 10
	if len(message) > most {
		message = strings.ToValidUTF8(message[:most], "") + " …"
	}
	v.Events.AnnotatedEventf(v.unit, metadata, kind, reason, "%s", message)
}

// tellChanges reports what was set right outside of a release, and what is contested.
func (v *visit) tellChanges(out pipeline.Outcome) {
	if made := out.Changes.Made(); len(made) > 0 && v.stood && out.Phase == pipeline.Done {
		v.tell(corev1.EventTypeNormal, fmt.Sprintf("Cluster state of release %s has been corrected to match the desired state:\n%s", v.release(0), made))
	}
	if len(out.Upheld) > 0 {
		v.tell(corev1.EventTypeNormal, fmt.Sprintf("Cluster state of release %s has been corrected to match the desired state:\n%s", v.release(0), out.Upheld))
	}
	for _, contest := range out.Contested {
		v.tell(corev1.EventTypeWarning, contest)
	}
}

// tellSuccess reports a delivered release.
func (v *visit) tellSuccess() {
	if ready := condition(&v.status, meta.ReadyCondition); ready != nil {
		v.tell(corev1.EventTypeNormal, ready.Message)
	}
}

// tellFailure reports a failure once, when it is new, and again when somebody asked for the attempt.
func (v *visit) tellFailure(_ error, kind fault.Kind) {
	before, after := condition(&v.unit.Status, meta.ReadyCondition), condition(&v.status, meta.ReadyCondition)
	if after == nil || before != nil && before.Reason == after.Reason && before.Message == after.Message && !v.asked {
		return
	}
	severity := corev1.EventTypeWarning
	if kind == fault.Waiting {
		severity = corev1.EventTypeNormal
	}
	v.tell(severity, after.Message)
}
