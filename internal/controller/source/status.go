package source

import (
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/model/fault"
)

// abnormal returns the conditions that exist only while they are true.
func abnormal() []string {
	return []string{
		sourcev1.StorageOperationFailedCondition,
		sourcev1.BuildFailedCondition,
		sourcev1.FetchFailedCondition,
		sourcev1.IncludeUnavailableCondition,
		sourcev1.ArtifactOutdatedCondition,
	}
}

// settled returns a copy of the object with the status that an outcome gives it.
func (k Kind[T, F]) settled(object T, o Outcome[F], now time.Time) T {
	after := k.handled(object)
	parts := k.Parts(after)
	list := listOf(*parts.Conditions, object.GetGeneration(), now)
	*parts.Artifact = o.Artifact
	if o.Artifact == nil {
		list.drop(sourcev1.ArtifactInStorageCondition)
	}
	list.drop(abnormal()...)
	switch {
	case !parts.Verified:
		list.drop(sourcev1.SourceVerifiedCondition)
	case o.Verified != "":
		list.set(sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, o.Verified)
	}
	switch {
	case o.Err == nil:
		k.succeed(list, object, o)
		*parts.ObservedGeneration = object.GetGeneration()
	case fault.KindOf(o.Err) == fault.Stalled:
		k.fail(list, object, o)
		list.drop(meta.ReconcilingCondition)
		list.set(meta.StalledCondition, metav1.ConditionTrue, o.reason(), o.Err.Error())
		*parts.ObservedGeneration = object.GetGeneration()
	default:
		k.fail(list, object, o)
		list.drop(meta.StalledCondition)
		list.set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, k.progress(object, o))
	}
	*parts.Conditions = list.sorted()
	if k.Observe != nil {
		k.Observe(after, o)
	}
	return after
}

// succeed says that the artifact is what the remote holds.
func (k Kind[T, F]) succeed(list *conditionList, object T, o Outcome[F]) {
	text := k.Words.stored(object, o)
	list.drop(meta.ReconcilingCondition, meta.StalledCondition)
	list.set(sourcev1.ArtifactInStorageCondition, metav1.ConditionTrue, text.Reason, text.Message)
	list.set(meta.ReadyCondition, metav1.ConditionTrue, text.Reason, text.Message)
}

// fail shows the error, once as the condition of its kind and once as the reason not to be ready.
func (k Kind[T, F]) fail(list *conditionList, object T, o Outcome[F]) {
	failure := metav1.ConditionTrue
	if o.Condition == sourcev1.SourceVerifiedCondition {
		failure = metav1.ConditionFalse
	}
	list.set(o.Condition, failure, o.reason(), o.Err.Error())
	list.set(meta.ReadyCondition, metav1.ConditionFalse, o.reason(), o.Err.Error())
	if o.Artifact != nil && o.outdated() {
		list.set(sourcev1.ArtifactOutdatedCondition, metav1.ConditionTrue, "NewRevision", k.Words.newer(object, o))
	}
}

// progress says what a reconcile that failed, or is going on, is on its way to.
func (k Kind[T, F]) progress(object T, o Outcome[F]) string {
	switch observed := *k.Parts(object).ObservedGeneration; {
	case o.outdated():
		return "building artifact: " + k.Words.newer(object, o)
	case object.GetGeneration() != observed:
		return fmt.Sprintf("processing object: new generation %d -> %d", observed, object.GetGeneration())
	case o.Damaged != nil:
		return "building artifact: disappeared from storage"
	default:
		return "reconciliation in progress"
	}
}

// suspended returns a copy of an object that is left alone: its status only notes that the spec and the
// request of a person have been seen.
func (k Kind[T, F]) suspended(object T) T {
	after := k.handled(object)
	if parts := k.Parts(after); len(*parts.Conditions) > 0 {
		*parts.ObservedGeneration = object.GetGeneration()
	}
	return after
}

// inProgress returns a copy of an object whose first or changed state takes its time to fetch.
func (k Kind[T, F]) inProgress(object T, now time.Time) T {
	after := copyOf(object)
	parts := k.Parts(after)
	list := listOf(*parts.Conditions, object.GetGeneration(), now)
	message := k.progress(object, Outcome[F]{Artifact: *parts.Artifact})
	list.drop(meta.StalledCondition)
	list.set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingReason, message)
	list.set(meta.ReadyCondition, metav1.ConditionUnknown, meta.ProgressingReason, message)
	*parts.Conditions = list.sorted()
	return after
}

// handled returns a copy of the object whose status echoes the last request to reconcile.
func (k Kind[T, F]) handled(object T) T {
	after := copyOf(object)
	if token, found := meta.ReconcileAnnotationValue(object.GetAnnotations()); found {
		k.Parts(after).Requests.LastHandledReconcileAt = token
	}
	return after
}
