package gitrepository

import (
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/model/fault"
)

// abnormal are the conditions that exist only while they are true.
var abnormal = []string{
	sourcev1.StorageOperationFailedCondition,
	sourcev1.FetchFailedCondition,
	sourcev1.IncludeUnavailableCondition,
	sourcev1.ArtifactOutdatedCondition,
}

// statusOf returns the status that an outcome gives an object.
func statusOf(object *sourcev1.GitRepository, o outcome, now time.Time) sourcev1.GitRepositoryStatus {
	status := handled(object)
	list := conditionsOf(object, now)
	status.Artifact = o.artifact
	if o.artifact == nil {
		list.drop(sourcev1.ArtifactInStorageCondition)
	}
	list.drop(abnormal...)
	switch {
	case object.Spec.Verification == nil:
		list.drop(sourcev1.SourceVerifiedCondition)
		status.SourceVerificationMode = nil
	case o.verified != "":
		mode := object.Spec.Verification.GetMode()
		status.SourceVerificationMode = &mode
		list.set(sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, o.verified)
	}
	switch {
	case o.err == nil:
		succeed(&status, list, object, o)
	case fault.KindOf(o.err) == fault.Stalled:
		fail(list, o)
		list.drop(meta.ReconcilingCondition)
		list.set(meta.StalledCondition, metav1.ConditionTrue, reasonOf(o), o.err.Error())
		status.ObservedGeneration = object.Generation
	default:
		fail(list, o)
		list.drop(meta.StalledCondition)
		list.set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, progress(object, o))
	}
	status.Conditions = list.sorted()
	return status
}

// succeed records the artifact and the options that it was made with.
func succeed(status *sourcev1.GitRepositoryStatus, list *conditionList, object *sourcev1.GitRepository, o outcome) {
	message := fmt.Sprintf("stored artifact for revision '%s'", o.artifact.Revision)
	list.drop(meta.ReconcilingCondition, meta.StalledCondition)
	list.set(sourcev1.ArtifactInStorageCondition, metav1.ConditionTrue, meta.SucceededReason, message)
	list.set(meta.ReadyCondition, metav1.ConditionTrue, meta.SucceededReason, message)
	spec := object.Spec.DeepCopy()
	status.IncludedArtifacts = o.included
	status.ObservedIgnore = spec.Ignore
	status.ObservedInclude = spec.Include
	status.ObservedRecurseSubmodules = spec.RecurseSubmodules
	status.ObservedSparseCheckout = spec.SparseCheckout
	status.ObservedGeneration = object.Generation
}

// fail shows the error, once as the condition of its kind and once as the reason not to be ready.
func fail(list *conditionList, o outcome) {
	failure := metav1.ConditionTrue
	if o.condition == sourcev1.SourceVerifiedCondition {
		failure = metav1.ConditionFalse
	}
	list.set(o.condition, failure, reasonOf(o), o.err.Error())
	list.set(meta.ReadyCondition, metav1.ConditionFalse, reasonOf(o), o.err.Error())
	if o.artifact != nil && o.revision != "" && !o.artifact.HasRevision(o.revision) {
		list.set(sourcev1.ArtifactOutdatedCondition, metav1.ConditionTrue, "NewRevision", newRevision(o))
	}
}

// progress says what a failed reconcile is on its way to.
func progress(object *sourcev1.GitRepository, o outcome) string {
	switch {
	case o.revision != "" && !o.artifact.HasRevision(o.revision):
		return "building artifact: " + newRevision(o)
	case object.Generation != object.Status.ObservedGeneration:
		return fmt.Sprintf("processing object: new generation %d -> %d", object.Status.ObservedGeneration, object.Generation)
	case o.damaged != nil:
		return "building artifact: disappeared from storage"
	default:
		return "reconciliation in progress"
	}
}

func newRevision(o outcome) string { return fmt.Sprintf("new upstream revision '%s'", o.revision) }

func reasonOf(o outcome) string { return fault.ReasonOf(o.err, meta.FailedReason) }

// suspended returns the status of an object that is left alone: it only notes that the spec and the
// request of a person have been seen.
func suspended(object *sourcev1.GitRepository) sourcev1.GitRepositoryStatus {
	status := handled(object)
	if len(status.Conditions) > 0 {
		status.ObservedGeneration = object.Generation
	}
	return status
}

// inProgress returns the status of an object whose first or changed state takes its time to fetch.
func inProgress(object *sourcev1.GitRepository, now time.Time) sourcev1.GitRepositoryStatus {
	status := *object.Status.DeepCopy()
	list := conditionsOf(object, now)
	message := progress(object, outcome{artifact: object.Status.Artifact})
	list.drop(meta.StalledCondition)
	list.set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingReason, message)
	list.set(meta.ReadyCondition, metav1.ConditionUnknown, meta.ProgressingReason, message)
	status.Conditions = list.sorted()
	return status
}

// handled returns a copy of the status that echoes the last request to reconcile.
func handled(object *sourcev1.GitRepository) sourcev1.GitRepositoryStatus {
	status := *object.Status.DeepCopy()
	if token, found := meta.ReconcileAnnotationValue(object.Annotations); found {
		status.LastHandledReconcileAt = token
	}
	return status
}
