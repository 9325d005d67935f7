package kustomization

import (
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// brief writes conditions in short, in their order.
func brief(status *kustomizev1.KustomizationStatus) []string {
	out := []string{}
	for _, c := range status.Conditions {
		out = append(out, c.Type+"="+string(c.Status)+" "+c.Reason+": "+c.Message)
	}
	return out
}

func TestConditions(t *testing.T) {
	one := attempt{generation: 3, revision: "main@sha1:abc", origin: "v1", timeout: time.Minute}
	const health = meta.HealthCheckFailedReason
	cases := map[string]struct {
		why          string
		steps        func(*kustomizev1.KustomizationStatus)
		want         []string
		wantObserved int64
		wantApplied  string
		wantTried    string
	}{
		"Applying": {
			why:   "kubectl wait must not take the old readiness for the new one's",
			steps: func(s *kustomizev1.KustomizationStatus) { one.progressing(s, false) },
			want: []string{
				"Ready=Unknown Progressing: Reconciliation in progress",
				"Reconciling=True Progressing: Applying manifests for revision main@sha1:abc with a timeout of 1m0s",
			},
			wantTried: "main@sha1:abc",
		},
		"Checking": {
			why:   "health is open while it is being checked",
			steps: func(s *kustomizev1.KustomizationStatus) { one.progressing(s, true) },
			want: []string{
				"Healthy=Unknown Progressing: Running health checks for revision main@sha1:abc with a timeout of 1m0s",
				"Ready=Unknown Progressing: Reconciliation in progress",
				"Reconciling=True Progressing: Running health checks for revision main@sha1:abc with a timeout of 1m0s",
			},
			wantTried: "main@sha1:abc",
		},
		"Applied": {
			why: "success leaves one condition, whatever was there before",
			steps: func(s *kustomizev1.KustomizationStatus) {
				one.failed(s, "BuildFailed", "x", true)
				one.progressing(s, true)
				one.succeeded(s, false, 0)
			},
			want:         []string{"Ready=True ReconciliationSucceeded: Applied revision: main@sha1:abc"},
			wantObserved: 3, wantApplied: "main@sha1:abc", wantTried: "main@sha1:abc",
		},
		"Healthy": {
			why:   "and health where it was asked for",
			steps: func(s *kustomizev1.KustomizationStatus) { one.succeeded(s, true, 1500*time.Millisecond) },
			want: []string{
				"Ready=True ReconciliationSucceeded: Applied revision: main@sha1:abc",
				"Healthy=True Succeeded: Health check passed in 1.5s",
			},
			wantObserved: 3, wantApplied: "main@sha1:abc", wantTried: "main@sha1:abc",
		},
		"StillHealthy": {
			why: "what stays healthy is no news: the message, and so the status, stays",
			steps: func(s *kustomizev1.KustomizationStatus) {
				one.succeeded(s, true, 1500*time.Millisecond)
				one.succeeded(s, true, 0)
			},
			want: []string{
				"Ready=True ReconciliationSucceeded: Applied revision: main@sha1:abc",
				"Healthy=True Succeeded: Health check passed in 1.5s",
			},
			wantObserved: 3, wantApplied: "main@sha1:abc", wantTried: "main@sha1:abc",
		},
		"Failing": {
			why: "a failure that is tried again keeps saying that it tries, and does not observe the generation",
			steps: func(s *kustomizev1.KustomizationStatus) {
				one.progressing(s, false)
				one.failed(s, "ReconciliationFailed", "no", false)
			},
			want: []string{
				"Ready=False ReconciliationFailed: no",
				"Reconciling=True ProgressingWithRetry: Applying manifests for revision main@sha1:abc with a timeout of 1m0s",
			},
			wantTried: "main@sha1:abc",
		},
		"Stalled": {
			why: "a failure that only a person can resolve is final for this generation",
			steps: func(s *kustomizev1.KustomizationStatus) {
				one.progressing(s, false)
				one.failed(s, "InvalidCELExpression", "no", true)
			},
			want:         []string{"Ready=False InvalidCELExpression: no", "Stalled=True InvalidCELExpression: no"},
			wantObserved: 3, wantTried: "main@sha1:abc",
		},
		"Unhealthy": {
			why:   "a failed check is in both conditions",
			steps: func(s *kustomizev1.KustomizationStatus) { one.failed(s, health, "sick", false) },
			want:  []string{"Ready=False " + health + ": sick", "Healthy=False " + health + ": sick"}, wantTried: "main@sha1:abc",
		},
		"Waiting": {
			why:   "a unit that waits for another has not attempted anything",
			steps: func(s *kustomizev1.KustomizationStatus) { one.failed(s, meta.DependencyNotReadyReason, "later", false) },
			want:  []string{"Ready=False DependencyNotReady: later"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var status kustomizev1.KustomizationStatus
			tc.steps(&status)
			if diff := cmp.Diff(tc.want, brief(&status)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
			if status.ObservedGeneration != tc.wantObserved || status.LastAppliedRevision != tc.wantApplied || status.LastAttemptedRevision != tc.wantTried {
				t.Errorf("%s: observed %d, applied %q, attempted %q", tc.why, status.ObservedGeneration, status.LastAppliedRevision, status.LastAttemptedRevision)
			}
			for _, c := range status.Conditions {
				if c.ObservedGeneration != one.generation {
					t.Errorf("%s: condition %s is of generation %d", tc.why, c.Type, c.ObservedGeneration)
				}
			}
		})
	}
}

func TestStands(t *testing.T) {
	one := attempt{generation: 3, revision: "main@sha1:abc"}
	var done kustomizev1.KustomizationStatus
	one.succeeded(&done, false, 0)
	cases := map[string]struct {
		why  string
		next attempt
		edit func(*kustomizev1.KustomizationStatus)
		want bool
	}{
		"Same":       {why: "upkeep of what is in place shows only if it fails", next: one, want: true},
		"Revision":   {why: "another revision is another attempt", next: attempt{generation: 3, revision: "main@sha1:def"}},
		"Generation": {why: "so is another wish", next: attempt{generation: 4, revision: "main@sha1:abc"}},
		"Failed": {why: "a failure stands for nothing", next: one, edit: func(s *kustomizev1.KustomizationStatus) {
			one.failed(s, "BuildFailed", "no", false)
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			status := *done.DeepCopy()
			if tc.edit != nil {
				tc.edit(&status)
			}
			if got := tc.next.stands(&status); got != tc.want {
				t.Errorf("%s: %v", tc.why, got)
			}
		})
	}
}

func TestLongMessagesAreCut(t *testing.T) {
	var status kustomizev1.KustomizationStatus
	set(&status, "Ready", metav1.ConditionFalse, "R", "x"+strings.Repeat("ä", kustomizev1.MaxConditionMessageLength), 1)
	message := status.Conditions[0].Message
	if len(message) > kustomizev1.MaxConditionMessageLength || !strings.HasSuffix(message, " …") {
		t.Errorf("%d bytes, ending in %q", len(message), message[len(message)-8:])
	}
	if strings.ToValidUTF8(message, "") != message {
		t.Error("a character was cut in two, which the server refuses")
	}
}

func TestHistory(t *testing.T) {
	var status kustomizev1.KustomizationStatus
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, digest := range []string{"a", "b", "a", "c", "d", "e", "f"} {
		attempt{revision: "r" + digest, origin: "o"}.remember(&status, digest, "ReconciliationSucceeded", now.Add(time.Duration(i)*time.Minute), time.Second)
	}
	var got []string
	for _, entry := range status.History {
		got = append(got, entry.Digest+" "+entry.Metadata["revision"]+" "+entry.Metadata["originRevision"])
	}
	if diff := cmp.Diff([]string{"f rf o", "e re o", "d rd o", "c rc o", "a ra o"}, got); diff != "" {
		t.Errorf("the newest five, one for each digest (-want +got):\n%s", diff)
	}
	if total := status.History[4].TotalReconciliations; total != 2 {
		t.Errorf("an entry that came again counts %d", total)
	}
}
