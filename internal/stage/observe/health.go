package observe

import (
	"fmt"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// verdict is what the fields of an object say about its health.
type verdict struct {
	status  Status
	reason  Reason
	message string
	// final: the object is a Job that has run to its end, so that its removal is no loss.
	final bool
	// ripens is when the verdict turns into ripe by the mere passing of time. It is zero for most.
	ripens time.Time
	ripe   Status
}

// scheduleWindow is how long a Pod that fits nowhere counts as being on its way (kstatus:
// core.go ScheduleWindow). kstatus looks again and again; we have to remember when.
const scheduleWindow = 15 * time.Second

// builtin judges an object by the rules for its kind: kstatus, but for Jobs, which count only when
// they are complete (flux-contract 2.9).
func builtin(u *unstructured.Unstructured, now time.Time) (result verdict) {
	defer func() {
		// kstatus trusts the shape of built-in kinds; a server extension may serve another one.
		if cause := recover(); cause != nil {
			result = verdict{status: Unknown, message: fmt.Sprintf("computing the status: %v", cause)}
		}
	}()
	if u.GetDeletionTimestamp() != nil {
		return terminating()
	}
	switch u.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		return job(u)
	case schema.GroupKind{Kind: "Pod"}:
		if u.GetAnnotations()[annotationHook] != "" {
			return task(u)
		}
		if found, created := unschedulable(u); found && now.Before(created.Add(scheduleWindow)) {
			return verdict{
				status: InProgress, message: "Pod could not be scheduled yet",
				ripens: created.Add(scheduleWindow), ripe: Failed,
			}
		}
	}
	computed, err := status.Compute(u)
	if err != nil {
		return verdict{status: Unknown, message: fmt.Sprintf("computing the status: %v", err)}
	}
	result = verdict{status: Status(computed.Status), message: computed.Message}
	if result.status == Failed {
		result.reason = reasonOf(u)
	}
	return result
}

// reasonOf says in one word why kstatus has an object of a built-in kind failed.
func reasonOf(u *unstructured.Unstructured) Reason {
	switch u.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
		return ProgressDeadline
	case schema.GroupKind{Kind: "Pod"}:
		if found, _ := unschedulable(u); found {
			return Unschedulable
		}
		return CrashLoop
	}
	return ""
}

func terminating() verdict {
	return verdict{status: Terminating, message: "Resource scheduled for deletion"}
}

// job judges a Job as Flux does (fluxcd/pkg runtime/statusreaders): a running one is in progress,
// and a suspended one is as it should be.
func job(u *unstructured.Unstructured) verdict {
	if suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); suspended {
		return verdict{status: Current, message: "Job is suspended"}
	}
	parallelism := status.GetIntField(u.Object, ".spec.parallelism", 1)
	completions := status.GetIntField(u.Object, ".spec.completions", parallelism)
	active := status.GetIntField(u.Object, ".status.active", 0)
	succeeded := status.GetIntField(u.Object, ".status.succeeded", 0)
	failed := status.GetIntField(u.Object, ".status.failed", 0)
	conditions, err := status.GetObjectWithConditions(u.Object)
	if err != nil {
		return verdict{status: Unknown, message: fmt.Sprintf("computing the status: %v", err)}
	}
	for _, condition := range conditions.Status.Conditions {
		switch {
		case condition.Status != corev1.ConditionTrue:
		case condition.Type == "Complete":
			return verdict{status: Current, message: fmt.Sprintf("Job Completed. succeeded: %d/%d", succeeded, completions), final: true}
		case condition.Type == "Failed":
			return verdict{status: Failed, reason: JobFailed, message: fmt.Sprintf("Job Failed. failed: %d/%d", failed, completions), final: true}
		}
	}
	if status.GetStringField(u.Object, ".status.startTime", "") == "" {
		return verdict{status: InProgress, message: fmt.Sprintf("Job not started. active: 0/%d", parallelism)}
	}
	return verdict{
		status:  InProgress,
		message: fmt.Sprintf("Job in progress. success:%d, active: %d, failed: %d", succeeded, active, failed),
	}
}

// annotationHook marks what Helm runs at certain moments.
const annotationHook = "helm.sh/hook"

// task judges a Pod that has something to do, and is through only when that is done.
func task(u *unstructured.Unstructured) verdict {
	switch phase := status.GetStringField(u.Object, ".status.phase", ""); phase {
	case "Succeeded":
		return verdict{status: Current, message: "Pod succeeded", final: true}
	case "Failed":
		return verdict{status: Failed, reason: Container, message: "Pod failed", final: true}
	default:
		return verdict{status: InProgress, message: "Pod is " + phase}
	}
}

// unschedulable tells whether the scheduler found no place for a Pod, and how old the Pod is.
func unschedulable(u *unstructured.Unstructured) (found bool, created time.Time) {
	if status.GetStringField(u.Object, ".status.phase", "") != "Pending" {
		return false, time.Time{}
	}
	conditions, err := status.GetObjectWithConditions(u.Object)
	if err != nil {
		return false, time.Time{}
	}
	for _, condition := range conditions.Status.Conditions {
		if condition.Type == "PodScheduled" && condition.Status == corev1.ConditionFalse && condition.Reason == "Unschedulable" {
			return true, u.GetCreationTimestamp().Time
		}
	}
	return false, time.Time{}
}
