package observe

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/eventually"
)

func parse(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return u
}

func TestBuiltinHealth(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 10, 0, time.UTC)
	tests := map[string]struct {
		why, object string
		want        verdict
	}{
		"ConfigMap": {
			why:    "what has no status is as it should be",
			object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`,
			want:   verdict{status: Current, message: "Resource is always ready"},
		},
		"Deleting": {
			why:    "what is being deleted is not healthy, whatever its kind says",
			object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, deletionTimestamp: "2026-01-01T00:00:00Z"}}`,
			want:   verdict{status: Terminating, message: "Resource scheduled for deletion"},
		},
		"GenerationNotSeen": {
			why:    "a status from before the change says nothing about it",
			object: `{apiVersion: e.org/v1, kind: W, metadata: {name: a, generation: 3}, status: {observedGeneration: 2, conditions: [{type: Ready, status: "True"}]}}`,
			want:   verdict{status: InProgress, message: "W generation is 3, but latest observed generation is 2"},
		},
		"ReadyCondition": {
			why:    "custom resources tell by their Ready condition",
			object: `{apiVersion: e.org/v1, kind: W, metadata: {name: a}, status: {conditions: [{type: Ready, status: "False", message: later}]}}`,
			want:   verdict{status: InProgress, message: "later"},
		},
		"Stalled": {
			why:    "a Stalled condition is final",
			object: `{apiVersion: e.org/v1, kind: W, metadata: {name: a}, status: {conditions: [{type: Stalled, status: "True", message: no way}]}}`,
			want:   verdict{status: Failed, message: "no way"},
		},
		"DeploymentStuck": {
			why:    "the deployment controller gave up",
			object: `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, status: {conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded}]}}`,
			want:   verdict{status: Failed, reason: ProgressDeadline, message: "Progress deadline exceeded"},
		},
		"JobRunning": {
			why:    "a running Job is not done; kstatus alone would call it current",
			object: `{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {startTime: "2026-01-01T00:00:00Z", active: 1}}`,
			want:   verdict{status: InProgress, message: "Job in progress. success:0, active: 1, failed: 0"},
		},
		"JobNew": {
			why:    "nor is one that did not start",
			object: `{apiVersion: batch/v1, kind: Job, metadata: {name: a}}`,
			want:   verdict{status: InProgress, message: "Job not started. active: 0/1"},
		},
		"JobSuspended": {
			why:    "a suspended Job is as it was asked to be",
			object: `{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {suspend: true}}`,
			want:   verdict{status: Current, message: "Job is suspended"},
		},
		"JobComplete": {
			why:    "done",
			object: `{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {succeeded: 1, conditions: [{type: Complete, status: "True"}]}}`,
			want:   verdict{status: Current, message: "Job Completed. succeeded: 1/1", final: true},
		},
		"JobFailed": {
			why:    "done, too",
			object: `{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {failed: 6, conditions: [{type: Failed, status: "True"}]}}`,
			want:   verdict{status: Failed, reason: JobFailed, message: "Job Failed. failed: 6/1", final: true},
		},
		"PodUnschedulableYet": {
			why:    "the scheduler may still find a place; nobody will tell when it has had its time",
			object: `{apiVersion: v1, kind: Pod, metadata: {name: a, creationTimestamp: "2026-01-01T00:00:00Z"}, status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable}]}}`,
			want: verdict{
				status: InProgress, message: "Pod could not be scheduled yet",
				ripens: time.Date(2026, 1, 1, 0, 0, 15, 0, time.UTC), ripe: Failed,
			},
		},
		"PodUnschedulable": {
			why:    "it had its time",
			object: `{apiVersion: v1, kind: Pod, metadata: {name: a, creationTimestamp: "2025-12-31T00:00:00Z"}, status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable}]}}`,
			want:   verdict{status: Failed, reason: Unschedulable, message: "Pod could not be scheduled"},
		},
		"OddShape": {
			why:    "a served object of a strange shape must not stop us",
			object: `{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {phase: Running, containerStatuses: [7]}}`,
			want:   verdict{status: Unknown, message: "computing the status: interface conversion: interface {} is int64, not map[string]interface {}"},
		},
		"OddConditions": {
			why:    "as above",
			object: `{apiVersion: e.org/v1, kind: W, metadata: {name: a}, status: {conditions: {Ready: "True"}}}`,
			want:   verdict{status: Unknown, message: "computing the status: cannot restore slice from map"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := builtin(parse(t, test.object), now)
			if !got.ripens.Equal(test.want.ripens) {
				t.Errorf("ripens at %v, want %v", got.ripens, test.want.ripens)
			}
			got.ripens, test.want.ripens = time.Time{}, time.Time{}
			if got != test.want {
				t.Errorf("got %+v, want %+v: %s", got, test.want, test.why)
			}
		})
	}
}

// TestRipening: a verdict that changes by the mere passing of time wakes the unit when it does.
func TestRipening(t *testing.T) {
	s := newStage(t)
	list("50", true, "", "")(s)
	item := s.item("100", ours)
	item.Value.verdict = verdict{status: InProgress, ripens: time.Now().Add(20 * time.Millisecond), ripe: Failed}
	s.sink.Put(item)
	deliver(s)
	eventually.True(t, "the verdict is ripe", func() bool { return s.observer.State(testRef).Health.Status == Failed })
	if deliver(s); len(s.causes) != 2 || s.causes[1] != HealthChanged {
		t.Errorf("woken for %v", s.causes)
	}
}
