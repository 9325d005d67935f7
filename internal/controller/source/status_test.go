package source

import (
	"errors"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/record"
)

var (
	then = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now  = then.Add(time.Hour)
)

type outcome = Outcome[struct{}]

// testKind is a kind over GitRepository, with words that show where they are used.
var testKind = Kind[*sourcev1.GitRepository, struct{}]{
	Name: sourcev1.GitRepositoryKind,
	Parts: func(object *sourcev1.GitRepository) Parts {
		return Parts{
			Spec: object.Spec, Suspended: object.Spec.Suspend, Verified: object.Spec.Verification != nil,
			Conditions: &object.Status.Conditions, Artifact: &object.Status.Artifact,
			ObservedGeneration: &object.Status.ObservedGeneration, Requests: &object.Status.ReconcileRequestStatus,
		}
	},
	Words: Words[*sourcev1.GitRepository, struct{}]{
		Stored: func(_ *sourcev1.GitRepository, o outcome) Text {
			return Text{meta.SucceededReason, "stored artifact for revision '" + o.Artifact.Revision + "'"}
		},
		Told: func(_ *sourcev1.GitRepository, o outcome) string {
			return "stored artifact for commit '" + o.Revision.Title + "'"
		},
		UpToDate: func(_ *sourcev1.GitRepository, o outcome) Text {
			return Text{sourcev1.GitOperationSucceedReason, "no changes since last reconciliation: observed revision '" + o.Artifact.Revision + "'"}
		},
	},
}

func artifactAt(revision string) *meta.Artifact {
	return &meta.Artifact{Revision: revision, Digest: "sha256:" + revision, Path: "p", URL: "u"}
}

// ready is an object whose first revision was delivered at its second generation.
func ready() *sourcev1.GitRepository {
	object := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
	object = testKind.settled(object, outcome{Artifact: artifactAt("main@sha1:1"), Revision: record.Revision{Name: "main@sha1:1"}}, then)
	return object
}

// lines shows conditions as people read them.
func lines(conditions []metav1.Condition) []string {
	var all []string
	for _, c := range conditions {
		age := "old"
		if c.LastTransitionTime.Time.Equal(now) {
			age = "new"
		}
		all = append(all, c.Type+"="+string(c.Status)+" "+c.Reason+" ("+age+"): "+c.Message)
	}
	return all
}

func TestStatusOf(t *testing.T) {
	boom := errors.New("boom")
	cases := map[string]struct {
		why      string
		object   func() *sourcev1.GitRepository
		outcome  outcome
		want     []string
		observed int64
		artifact string
	}{
		"First": {
			why: "the messages are read by scripts",
			object: func() *sourcev1.GitRepository {
				return &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Generation: 1}}
			},
			outcome: outcome{Artifact: artifactAt("main@sha1:1"), Revision: record.Revision{Name: "main@sha1:1"}},
			want: []string{
				"Ready=True Succeeded (new): stored artifact for revision 'main@sha1:1'",
				"ArtifactInStorage=True Succeeded (new): stored artifact for revision 'main@sha1:1'",
			},
			observed: 1, artifact: "main@sha1:1",
		},
		"Unchanged": {
			why:     "nothing moves, not even a time",
			object:  ready,
			outcome: outcome{Artifact: artifactAt("main@sha1:1"), Revision: record.Revision{Name: "main@sha1:1"}},
			want: []string{
				"Ready=True Succeeded (old): stored artifact for revision 'main@sha1:1'",
				"ArtifactInStorage=True Succeeded (old): stored artifact for revision 'main@sha1:1'",
			},
			observed: 2, artifact: "main@sha1:1",
		},
		"RemoteAway": {
			why:     "the artifact stays, and the generation was seen already",
			object:  ready,
			outcome: outcome{Artifact: artifactAt("main@sha1:1"), Condition: sourcev1.FetchFailedCondition, Err: fault.Because("GitOperationFailed", boom)},
			want: []string{
				"Reconciling=True ProgressingWithRetry (new): reconciliation in progress",
				"Ready=False GitOperationFailed (new): boom",
				"ArtifactInStorage=True Succeeded (old): stored artifact for revision 'main@sha1:1'",
				"FetchFailed=True GitOperationFailed (new): boom",
			},
			observed: 2, artifact: "main@sha1:1",
		},
		"RemoteAwayAfterChange": {
			why: "a new generation counts as observed only when it came to something",
			object: func() *sourcev1.GitRepository {
				object := ready()
				object.Generation = 3
				return object
			},
			outcome: outcome{Artifact: artifactAt("main@sha1:1"), Condition: sourcev1.FetchFailedCondition, Err: boom},
			want: []string{
				"Reconciling=True ProgressingWithRetry (new): processing object: new generation 2 -> 3",
				"Ready=False Failed (new): boom",
				"FetchFailed=True Failed (new): boom",
				"ArtifactInStorage=True Succeeded (old): stored artifact for revision 'main@sha1:1'",
			},
			observed: 2, artifact: "main@sha1:1",
		},
		"DiskFull": {
			why:     "people see that there is something newer",
			object:  ready,
			outcome: outcome{Artifact: artifactAt("main@sha1:1"), Revision: record.Revision{Name: "main@sha1:2"}, Condition: sourcev1.StorageOperationFailedCondition, Err: fault.Because("ArchiveOperationFailed", boom)},
			want: []string{
				"Reconciling=True ProgressingWithRetry (new): building artifact: new upstream revision 'main@sha1:2'",
				"Ready=False ArchiveOperationFailed (new): boom",
				"ArtifactInStorage=True Succeeded (old): stored artifact for revision 'main@sha1:1'",
				"ArtifactOutdated=True NewRevision (new): new upstream revision 'main@sha1:2'",
				"StorageOperationFailed=True ArchiveOperationFailed (new): boom",
			},
			observed: 2, artifact: "main@sha1:1",
		},
		"Disappeared": {
			why:     "what is not on disk cannot be promised",
			object:  ready,
			outcome: outcome{Damaged: boom, Condition: sourcev1.FetchFailedCondition, Err: boom},
			want: []string{
				"Reconciling=True ProgressingWithRetry (new): building artifact: disappeared from storage",
				"Ready=False Failed (new): boom",
				"FetchFailed=True Failed (new): boom",
			},
			observed: 2,
		},
		"WaitsForInclude": {
			why:     "the condition says for whom",
			object:  ready,
			outcome: outcome{Artifact: artifactAt("main@sha1:1"), Condition: sourcev1.IncludeUnavailableCondition, Err: fault.Wait("NoArtifact", 0, boom)},
			want: []string{
				"Reconciling=True ProgressingWithRetry (new): reconciliation in progress",
				"Ready=False NoArtifact (new): boom",
				"ArtifactInStorage=True Succeeded (old): stored artifact for revision 'main@sha1:1'",
				"IncludeUnavailable=True NoArtifact (new): boom",
			},
			observed: 2, artifact: "main@sha1:1",
		},
		"Stalled": {
			why: "kstatus fails fast on it, for the generation that it is about",
			object: func() *sourcev1.GitRepository {
				object := ready()
				object.Generation = 3
				return object
			},
			outcome: outcome{Artifact: artifactAt("main@sha1:1"), Condition: sourcev1.FetchFailedCondition, Err: fault.Stall("URLInvalid", boom)},
			want: []string{
				"Stalled=True URLInvalid (new): boom",
				"Ready=False URLInvalid (new): boom",
				"FetchFailed=True URLInvalid (new): boom",
				"ArtifactInStorage=True Succeeded (old): stored artifact for revision 'main@sha1:1'",
			},
			observed: 3, artifact: "main@sha1:1",
		},
		"Unverified": {
			why:     "the one condition that is bad when false",
			object:  ready,
			outcome: outcome{Artifact: artifactAt("main@sha1:1"), Condition: sourcev1.SourceVerifiedCondition, Err: fault.Stall("VerificationError", boom)},
			want: []string{
				"Stalled=True VerificationError (new): boom",
				"Ready=False VerificationError (new): boom",
				"ArtifactInStorage=True Succeeded (old): stored artifact for revision 'main@sha1:1'",
				"SourceVerified=False VerificationError (new): boom",
			},
			observed: 2, artifact: "main@sha1:1",
		},
		"Recovered": {
			why: "what was abnormal goes",
			object: func() *sourcev1.GitRepository {
				object := ready()
				for _, kind := range []string{sourcev1.FetchFailedCondition, sourcev1.StorageOperationFailedCondition, sourcev1.SourceVerifiedCondition} {
					object = testKind.settled(object, outcome{Artifact: artifactAt("main@sha1:1"), Condition: kind, Err: fault.Stall("X", boom)}, then)
				}
				return object
			},
			outcome: outcome{Artifact: artifactAt("main@sha1:1"), Revision: record.Revision{Name: "main@sha1:1"}},
			want: []string{
				"Ready=True Succeeded (new): stored artifact for revision 'main@sha1:1'",
				"ArtifactInStorage=True Succeeded (old): stored artifact for revision 'main@sha1:1'",
			},
			observed: 2, artifact: "main@sha1:1",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			status := testKind.settled(c.object(), c.outcome, now).Status
			if diff := cmp.Diff(c.want, lines(status.Conditions)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
			if status.ObservedGeneration != c.observed {
				t.Errorf("observed generation is %d, want %d", status.ObservedGeneration, c.observed)
			}
			if (status.Artifact == nil) != (c.artifact == "") || c.artifact != "" && status.Artifact.Revision != c.artifact {
				t.Errorf("artifact is %v, want %q", status.Artifact, c.artifact)
			}
		})
	}
}

func TestRequestsAreEchoedWhateverHappens(t *testing.T) {
	asked := func() *sourcev1.GitRepository {
		object := ready()
		object.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
		return object
	}
	for name, object := range map[string]*sourcev1.GitRepository{
		"Success":   testKind.settled(asked(), outcome{Artifact: artifactAt("x")}, now),
		"Failure":   testKind.settled(asked(), outcome{Condition: sourcev1.FetchFailedCondition, Err: errors.New("boom")}, now),
		"Suspended": testKind.suspended(asked()),
	} {
		if got := object.Status.LastHandledReconcileAt; got != "now" {
			t.Errorf("%s: lastHandledReconcileAt is %q", name, got)
		}
	}
}

func TestInProgressIsUnknown(t *testing.T) {
	object := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Generation: 1}, Status: sourcev1.GitRepositoryStatus{ObservedGeneration: -1}}
	want := []string{
		"Reconciling=True Progressing (new): processing object: new generation -1 -> 1",
		"Ready=Unknown Progressing (new): processing object: new generation -1 -> 1",
	}
	if diff := cmp.Diff(want, lines(testKind.inProgress(object, now).Status.Conditions)); diff != "" {
		t.Errorf("conditions differ (-want +got):\n%s", diff)
	}
}

func TestEventOf(t *testing.T) {
	failed := func(kind fault.Kind) outcome {
		return outcome{Artifact: artifactAt("main@sha1:1"), Condition: sourcev1.FetchFailedCondition,
			Err: &fault.Error{Kind: kind, Reason: "GitOperationFailed", Err: errors.New("boom")}}
	}
	before := func(o outcome, annotation string) *sourcev1.GitRepository {
		object := ready()
		object = testKind.settled(object, o, then)
		object.Annotations = map[string]string{meta.ReconcileRequestAnnotation: annotation}
		return object
	}
	good := outcome{Artifact: artifactAt("main@sha1:1"), Revision: record.Revision{Name: "main@sha1:1"}}
	fresh := outcome{Artifact: artifactAt("main@sha1:2"), Revision: record.Revision{Name: "main@sha1:2", Title: "web: use the new image"}}
	cases := map[string]struct {
		why     string
		before  *sourcev1.GitRepository
		outcome outcome
		want    string
	}{
		"NewArtifact":    {"the commit's subject tells people what", before(good, ""), fresh, "Normal NewArtifact stored artifact for commit 'web: use the new image'"},
		"NoChange":       {"a routine look is no news", before(good, ""), good, ""},
		"NoChangeAsked":  {"a person wants an answer", before(good, "now"), good, "Normal GitOperationSucceeded no changes since last reconciliation: observed revision 'main@sha1:1'"},
		"Failure":        {"once when it begins", before(good, ""), failed(fault.Transient), "Warning GitOperationFailed boom"},
		"FailureAgain":   {"not with each retry", before(failed(fault.Transient), ""), failed(fault.Transient), ""},
		"FailureAsked":   {"a person wants an answer", before(failed(fault.Transient), "now"), failed(fault.Transient), "Warning GitOperationFailed boom"},
		"Waiting":        {"a wait is not a failure", before(good, ""), failed(fault.Waiting), "Normal GitOperationFailed boom"},
		"Recovery":       {"the alarm is over", before(failed(fault.Transient), ""), good, "Normal Succeeded stored artifact for commit ''"},
		"RecoveryAndNew": {"one event says both", before(failed(fault.Transient), ""), fresh, "Normal NewArtifact stored artifact for commit 'web: use the new image'"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			event, found := testKind.event(c.before, c.outcome)
			got := ""
			if found {
				got = event.kind + " " + event.Reason + " " + event.Message
			}
			if got != c.want {
				t.Errorf("event is %q, want %q: %s", got, c.want, c.why)
			}
			if found && event.kind == corev1.EventTypeNormal && c.outcome.Err == nil && event.annotations["source.toolkit.fluxcd.io/revision"] != c.outcome.Artifact.Revision {
				t.Errorf("annotations are %v", event.annotations)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	cases := map[string]struct {
		why      string
		failures int
		interval time.Duration
		want     time.Duration
	}{
		"First":         {"soon: most trouble is short", 1, time.Hour, 750 * time.Millisecond},
		"Third":         {"doubles", 3, time.Hour, 3 * time.Second},
		"Interval":      {"never longer than without trouble", 100, time.Minute, time.Minute},
		"Limit":         {"a long interval is no reason to miss a recovery", 100, 24 * time.Hour, 15 * time.Minute},
		"ShortInterval": {"never a busy loop", 5, time.Millisecond, 750 * time.Millisecond},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := retryAfter(c.failures, c.interval); got != c.want {
				t.Errorf("wait is %s, want %s: %s", got, c.want, c.why)
			}
		})
	}
}
