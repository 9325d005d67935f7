package source

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/record"
)

func TestEntries(t *testing.T) {
	first, second := artifactAt("main@sha1:1"), artifactAt("main@sha1:2")
	second.Digest = "sha256:2"
	broken := []metav1.Condition{
		{Type: sourcev1.FetchFailedCondition, Reason: "GitOperationFailed"},
		{Type: meta.ReadyCondition, Reason: "GitOperationFailed", Message: "no"},
	}
	failure := func(text string) outcome {
		return outcome{Condition: sourcev1.FetchFailedCondition, Err: fault.Because("GitOperationFailed", errors.New(text))}
	}
	cases := map[string]struct {
		why    string
		status sourcev1.GitRepositoryStatus
		out    outcome
		want   []record.Kind
	}{
		"New":       {"the first artifact is news", sourcev1.GitRepositoryStatus{}, outcome{Artifact: first}, []record.Kind{record.RevisionSeen}},
		"Same":      {"the same one is none", sourcev1.GitRepositoryStatus{Artifact: first}, outcome{Artifact: first}, nil},
		"Next":      {"another one is", sourcev1.GitRepositoryStatus{Artifact: first}, outcome{Artifact: second}, []record.Kind{record.RevisionSeen}},
		"Failed":    {"so is a failure", sourcev1.GitRepositoryStatus{Artifact: first}, failure("no"), []record.Kind{record.SourceFailed}},
		"Again":     {"but once", sourcev1.GitRepositoryStatus{Conditions: broken}, failure("no"), nil},
		"Otherwise": {"and again when it is another one", sourcev1.GitRepositoryStatus{Conditions: broken}, failure("never"), []record.Kind{record.SourceFailed}},
		"Back":      {"its end is news", sourcev1.GitRepositoryStatus{Artifact: first, Conditions: broken}, outcome{Artifact: first}, []record.Kind{record.SourceRecovered}},
		"BackNew":   {"and what came meanwhile", sourcev1.GitRepositoryStatus{Artifact: first, Conditions: broken}, outcome{Artifact: second}, []record.Kind{record.SourceRecovered, record.RevisionSeen}},
		"Unsigned":  {"a signature that does not verify is its own kind", sourcev1.GitRepositoryStatus{Artifact: first}, outcome{Condition: sourcev1.SourceVerifiedCondition, Err: errors.New("no")}, []record.Kind{record.RevisionRejected}},
		"Waiting":   {"a wait is no failure", sourcev1.GitRepositoryStatus{}, outcome{Err: fault.Wait("NotYet", 0, errors.New("wait"))}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []record.Kind
			for _, entry := range testKind.entries(&sourcev1.GitRepository{Status: c.status}, c.out, time.Unix(1, 0)) {
				got = append(got, entry.Kind)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func TestRevisionSeenNamesItsAuthor(t *testing.T) {
	object := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "apps"}}
	artifact := artifactAt("main@sha1:1")
	got := testKind.entries(object, outcome{Artifact: artifact, Made: time.Unix(0, 0), Revision: record.Revision{Author: "A <a@example.com>", Title: "title", Signature: "key 1"}}, time.Unix(1, 0))
	want := []record.Entry{{
		At: time.Unix(1, 0), Kind: record.RevisionSeen, Subject: record.Subject{Kind: "GitRepository", Namespace: "team", Name: "apps"},
		Actor:       record.Actor{Type: record.Author, Name: "A <a@example.com>"},
		Revision:    record.Revision{Name: "main@sha1:1", Author: "A <a@example.com>", Title: "title", Signature: "key 1"},
		Fingerprint: artifact.Digest, Message: "There is a new artifact", Details: map[string]string{"committed": "1970-01-01T00:00:00Z"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSettingsAreADigest(t *testing.T) {
	object := &sourcev1.GitRepository{Spec: sourcev1.GitRepositorySpec{URL: "https://canary@example.com"}}
	object.Generation = 3
	first, err := testKind.configured(object, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	object.Spec.Suspend = true
	second, err := testKind.configured(object, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if first.Details["digest"] == second.Details["digest"] || first.Details["generation"] != "3" || second.Reason != meta.SuspendedReason {
		t.Errorf("%+v\n%+v", first, second)
	}
	for _, value := range []string{first.Message, first.Details["digest"]} {
		if strings.Contains(value, "canary") {
			t.Errorf("the content of the spec is in %q", value)
		}
	}
}
