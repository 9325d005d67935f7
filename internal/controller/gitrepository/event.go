package gitrepository

import (
	"context"
	"errors"
	"fmt"

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
func (c *Controller) report(ctx context.Context, before *sourcev1.GitRepository, o outcome) {
	if errors.Is(o.damaged, store.ErrDamaged) {
		c.Events.AnnotatedEventf(before, nil, corev1.EventTypeWarning, "ArtifactVerificationFailed", "verifying artifact: %s", o.damaged)
	}
	event, found := eventOf(before, o)
	if !found {
		return
	}
	c.Events.AnnotatedEventf(before, event.annotations, event.kind, event.reason, "%s", event.message)
	if event.kind == corev1.EventTypeWarning {
		log.FromContext(ctx).Info("source failed", "reason", event.reason, "message", event.message)
	} else {
		log.FromContext(ctx).Info("source changed", "reason", event.reason, "message", event.message)
	}
}

type eventText struct {
	kind, reason, message string
	annotations           map[string]string
}

func eventOf(before *sourcev1.GitRepository, o outcome) (eventText, bool) {
	token, _ := meta.ReconcileAnnotationValue(before.Annotations)
	asked := token != "" && token != before.Status.LastHandledReconcileAt
	if o.err != nil {
		ready := find(before.Status.Conditions, meta.ReadyCondition)
		news := ready.Reason != reasonOf(o) || ready.Message != o.err.Error()
		kind := corev1.EventTypeWarning
		if fault.KindOf(o.err) == fault.Waiting {
			kind = corev1.EventTypeNormal
		}
		return eventText{kind: kind, reason: reasonOf(o), message: o.err.Error()}, news || asked
	}
	text := eventText{
		kind:    corev1.EventTypeNormal,
		message: fmt.Sprintf("stored artifact for commit '%s'", commitOf(o)),
		annotations: map[string]string{
			sourcev1.GroupVersion.Group + "/revision": o.artifact.Revision,
			sourcev1.GroupVersion.Group + "/digest":   o.artifact.Digest,
		},
	}
	if o.signature != "" {
		text.annotations[sourcev1.GroupVersion.Group+"/signature"] = o.signature
	}
	switch {
	case !before.Status.Artifact.HasDigest(o.artifact.Digest):
		text.reason = "NewArtifact"
	case hadFailed(before):
		text.reason = meta.SucceededReason
	default:
		text.reason = sourcev1.GitOperationSucceedReason
		text.message = fmt.Sprintf("no changes since last reconciliation: observed revision '%s'", o.artifact.Revision)
		return text, asked
	}
	return text, true
}

// commitOf names a commit for people: by the beginning of its subject, or else by its revision.
func commitOf(o outcome) string {
	subject := []rune(o.commit.Subject)
	switch {
	case len(subject) == 0:
		return o.artifact.Revision
	case len(subject) > 50:
		return string(subject[:50]) + "..."
	default:
		return o.commit.Subject
	}
}

func hadFailed(before *sourcev1.GitRepository) bool {
	for _, kind := range []string{
		sourcev1.FetchFailedCondition, sourcev1.IncludeUnavailableCondition, sourcev1.StorageOperationFailedCondition,
	} {
		if find(before.Status.Conditions, kind).Type != "" {
			return true
		}
	}
	return find(before.Status.Conditions, sourcev1.SourceVerifiedCondition).Status == metav1.ConditionFalse
}
