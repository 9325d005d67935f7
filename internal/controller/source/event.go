package source

import (
	"context"
	"errors"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/store"
)

// report sends the events that an outcome is worth. before is the object as it was until then. What
// repeats itself is told once: a failure when its text changes, and that nothing changed only to a
// person who asked.
func (c *Controller[T, F]) report(ctx context.Context, before T, o Outcome[F]) {
	if errors.Is(o.Damaged, store.ErrDamaged) {
		c.Events.AnnotatedEventf(before, nil, corev1.EventTypeWarning, "ArtifactVerificationFailed", "verifying artifact: %s", o.Damaged)
	}
	event, found := c.kind.event(before, o)
	if !found {
		return
	}
	c.Events.AnnotatedEventf(before, event.annotations, event.kind, event.Reason, "%s", event.Message)
	if event.kind == corev1.EventTypeWarning {
		log.FromContext(ctx).Info("source failed", "reason", event.Reason, "message", event.Message)
	} else {
		log.FromContext(ctx).Info("source changed", "reason", event.Reason, "message", event.Message)
	}
}

type eventText struct {
	Text
	kind        string
	annotations map[string]string
}

func (k Kind[T, F]) event(before T, o Outcome[F]) (eventText, bool) {
	parts := k.Parts(before)
	token, _ := meta.ReconcileAnnotationValue(before.GetAnnotations())
	asked := token != "" && token != parts.Requests.LastHandledReconcileAt
	if o.Err != nil {
		ready := Condition(*parts.Conditions, meta.ReadyCondition)
		news := ready.Reason != o.reason() || ready.Message != o.Err.Error()
		kind := corev1.EventTypeWarning
		if fault.KindOf(o.Err) == fault.Waiting {
			kind = corev1.EventTypeNormal
		}
		return eventText{Text: Text{o.reason(), o.Err.Error()}, kind: kind}, news || asked
	}
	text := eventText{kind: corev1.EventTypeNormal, Text: Text{Message: k.Words.told(before, o)}, annotations: map[string]string{
		sourcev1.GroupVersion.Group + "/revision": o.Artifact.Revision,
		sourcev1.GroupVersion.Group + "/digest":   o.Artifact.Digest,
	}}
	if o.Revision.Signature != "" {
		text.annotations[sourcev1.GroupVersion.Group+"/signature"] = o.Revision.Signature
	}
	switch {
	case !(*parts.Artifact).HasDigest(o.Artifact.Digest):
		text.Reason = "NewArtifact"
	case hadFailed(*parts.Conditions):
		text.Reason = meta.SucceededReason
	default:
		text.Text = k.Words.upToDate(before, o)
		return text, asked
	}
	return text, true
}

// hadFailed tells whether conditions are those of an object whose last run failed.
func hadFailed(conditions []metav1.Condition) bool {
	for _, kind := range []string{
		sourcev1.FetchFailedCondition, sourcev1.BuildFailedCondition, sourcev1.IncludeUnavailableCondition,
		sourcev1.StorageOperationFailedCondition,
	} {
		if Condition(conditions, kind).Type != "" {
			return true
		}
	}
	return Condition(conditions, sourcev1.SourceVerifiedCondition).Status == metav1.ConditionFalse
}
