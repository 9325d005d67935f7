package simulate

import (
	"slices"

	"sigs.k8s.io/kwok/pkg/apis/v1alpha1"
)

// Annotation of a Pod that says how it fares, whatever its images are.
const Annotation = "holdfast.dev/simulate"

// What a Pod is planned to do.
const (
	planImagePull   = "image-pull"  // its image does not exist
	planUnreachable = "unreachable" // its registry does not answer
	planCrashLoop   = "crash-loop"
	planNeverReady  = "never-ready"
	planFails       = "fails" // ends with an error where it is not restarted; elsewhere it is a crash loop
	planSlow        = "slow"
)

func plansToFail() []string {
	return []string{planImagePull, planUnreachable, planCrashLoop, planNeverReady, planFails}
}

// Expressions of jq over a Pod.
const (
	// plan is the annotation's word, or that of the first image that has one.
	plan = `. as $pod | [
  (.metadata.annotations["` + Annotation + `"] // empty | split("=")[0]),
  ((.spec.initContainers[]?, .spec.containers[]?) | .image | split("@")[0] |
    if endswith(":does-not-exist") then "image-pull"
    elif startswith("registry.invalid/") then "unreachable"
    elif endswith(":crash-loop") then "crash-loop"
    elif endswith(":never-ready") then "never-ready"
    elif endswith(":fails") then "fails"
    else empty end)
] | first // empty | if . == "fails" and $pod.spec.restartPolicy != "Never" then "crash-loop" else . end`
	deleted  = `.metadata.deletionTimestamp`
	phase    = `.status.phase`
	begun    = `.status.containerStatuses[]?.name`
	slowness = `.metadata.annotations["` + Annotation + `"] | split("=")[1]`
	// waits is what a container waits for that has begun.
	waits = `(.status.initContainerStatuses[]?, .status.containerStatuses[]?) | .state.waiting.reason // empty | select(. != "PodInitializing")`
	// backOff is shorter than a kubelet's, so that nobody has to wait for a crash loop.
	backOff = `[(.status.initContainerStatuses[]?, .status.containerStatuses[]?) | .restartCount] | max | if . < 3 then "1s" else "20s" end`
)

const (
	exists  = v1alpha1.SelectorOperator("Exists")
	missing = v1alpha1.SelectorOperator("DoesNotExist")
	in      = v1alpha1.SelectorOperator("In")
	notIn   = v1alpha1.SelectorOperator("NotIn")
)

func when(key string, operator v1alpha1.SelectorOperator, values ...string) v1alpha1.MatchExpression {
	return v1alpha1.MatchExpression{JQ: &v1alpha1.SelectorJQ{Key: key, Operator: operator, Values: values}}
}

// failing are the stages of Pods that are planned to fail.
func failing() []*v1alpha1.Stage {
	// The plan comes last: it costs most to see, and Pods that do well should not have to wait for it.
	fresh, pulling, crashing := when(begun, missing), when(plan, in, planImagePull, planUnreachable), when(plan, in, planCrashLoop)
	running := func(then v1alpha1.MatchExpression) []v1alpha1.MatchExpression {
		return []v1alpha1.MatchExpression{when(phase, in, "Pending", "Running"), when(begun, exists), when(waits, missing), then}
	}
	list := []*v1alpha1.Stage{
		stage("pod-pull", statusOf(pullState("ErrImagePull"), "Pending"), fresh, pulling),
		stage("pod-pull-again", statusOf(pullState("ImagePullBackOff"), "Pending"), when(waits, in, "ErrImagePull"), pulling),
		stage("pod-begin", statusOf(runningState, "Running"), fresh, when(plan, in, planCrashLoop, planNeverReady, planFails)),
		stage("pod-crash", statusOf(crashedState, "Running"), running(crashing)...),
		stage("pod-restart", statusOf(restartedState, "Running"), when(waits, in, "CrashLoopBackOff"), crashing),
		stage("pod-fail", statusOf(failedState, "Failed"), running(when(plan, in, planFails))...),
	}
	pull, again, crash, restart, fail := list[0], list[1], list[3], list[4], list[5]
	say(pull, "Failed", "Error: ErrImagePull")
	say(again, "Failed", "Error: ImagePullBackOff")
	say(crash, "BackOff", "Back-off restarting failed container")
	after(again, 1000)
	after(crash, 300)
	after(fail, 300)
	restart.Spec.Delay = delayFrom(backOff)
	return list
}

// stage is one of a Pod that is not being deleted.
func stage(name, status string, matches ...v1alpha1.MatchExpression) *v1alpha1.Stage {
	result := &v1alpha1.Stage{}
	result.Name = name
	result.Spec.ResourceRef = v1alpha1.StageResourceRef{APIGroup: "v1", Kind: "Pod"}
	result.Spec.Selector = &v1alpha1.StageSelector{MatchExpressions: append([]v1alpha1.MatchExpression{when(deleted, missing)}, matches...)}
	result.Spec.Steps = []v1alpha1.StageStep{{Patch: &v1alpha1.StagePatch{Subresource: "status", Root: "status", Template: status}}}
	return result
}

// say begins a stage with an Event of a kubelet's.
func say(s *v1alpha1.Stage, reason, message string) {
	said := v1alpha1.StageStep{Event: &v1alpha1.StageEvent{Type: "Warning", Reason: reason, Message: message}}
	s.Spec.Steps = slices.Insert(s.Spec.Steps, 0, said)
}

// delayFrom is a delay that jq computes.
func delayFrom(expression string) *v1alpha1.StageDelay {
	return &v1alpha1.StageDelay{DurationFrom: &v1alpha1.ExpressionFrom{JQ: &v1alpha1.ExpressionJQ{Expression: expression}}}
}

// after delays a stage by milliseconds.
func after(s *v1alpha1.Stage, pause int64) {
	s.Spec.Delay = &v1alpha1.StageDelay{DurationMilliseconds: &pause}
}
