package alert

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/record/event"
)

// said makes an event; the severity follows from the reason.
func said(reason, message, revision string) event.Event {
	e := event.Event{Severity: event.Info, Reason: reason, Message: message}
	if slices.Contains([]string{"BuildFailed", "HealthCheckFailed", "RolledBack"}, reason) {
		e.Severity = event.Error
	}
	e.InvolvedObject.APIVersion, e.InvolvedObject.Kind = "kustomize.toolkit.fluxcd.io/v1", "Kustomization"
	e.InvolvedObject.Namespace, e.InvolvedObject.Name = "apps", "web"
	e.Metadata = map[string]string{"kustomize.toolkit.fluxcd.io/revision": revision}
	return e
}

// TestWhatIsTold is the table of what an event means to people, given what they know.
func TestWhatIsTold(t *testing.T) {
	type step struct {
		reason, message, revision string
		after                     time.Duration
		want                      verdict
	}
	cases := map[string]struct {
		why   string
		steps []step
	}{
		"Once": {"a failure that goes on is told once, whatever time it takes", []step{
			{"HealthCheckFailed", "timeout after 1.2s", "a", 0, fired},
			{"HealthCheckFailed", "timeout after 3.4s", "a", time.Minute, silent},
			{"HealthCheckFailed", "timeout after 5m0s", "b", time.Hour, silent},
		}},
		"Reason": {"another reason is another failure", []step{
			{"BuildFailed", "x", "a", 0, fired},
			{"HealthCheckFailed", "y", "a", 0, fired},
			{"HealthCheckFailed", "y", "a", 0, silent},
		}},
		"Mended wrongly": {"a commit that fails in another way is news, and the same one is not", []step{
			{"BuildFailed", "no such file", "a", 0, fired},
			{"BuildFailed", "no such key", "a", 0, silent},
			{"BuildFailed", "no such key", "b", 0, fired},
		}},
		"Reminder": {"after a day a failure is told again", []step{
			{"BuildFailed", "x", "a", 0, fired},
			{"BuildFailed", "x", "a", 23 * time.Hour, silent},
			{"BuildFailed", "x", "a", time.Hour, fired},
			{"BuildFailed", "x", "a", time.Hour, silent},
		}},
		"Recovery": {"the end of a failure is told once", []step{
			{"BuildFailed", "x", "a", 0, fired},
			{"Progressing", "ConfigMap/x configured", "b", 0, plain},
			{"ReconciliationSucceeded", "finished in 1s", "b", 0, recovered},
			{"ReconciliationSucceeded", "finished in 2s", "b", 0, plain},
		}},
		"Again": {"what fails again is told again", []step{
			{"BuildFailed", "x", "a", 0, fired},
			{"ReconciliationSucceeded", "", "b", 0, recovered},
			{"BuildFailed", "x", "c", 0, fired},
		}},
		"Rollback": {"a rollback that succeeded is no recovery: what was wanted is not there", []step{
			{"HealthCheckFailed", "x", "a", 0, fired},
			{"RollbackSucceeded", "back on 1", "a", 0, plain},
			{"RolledBack", "held", "a", 0, fired},
			{"ReconciliationSucceeded", "", "b", 0, recovered},
		}},
		"Well": {"what was never told to be broken does not recover", []step{
			{"ReconciliationSucceeded", "", "a", 0, plain},
			{"NewArtifact", "", "a", 0, plain},
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var s state
			now := time.Now()
			for i, step := range c.steps {
				now = now.Add(step.after)
				var got verdict
				if s, got = s.next(said(step.reason, step.message, step.revision), now, 24*time.Hour); got != step.want {
					t.Errorf("%s: step %d: got %d, want %d", c.why, i, got, step.want)
				}
			}
		})
	}
}

// TestStatuses: each commit has its status, and it is set again only where it is another one.
func TestStatuses(t *testing.T) {
	var s state
	var got []verdict
	for _, e := range []event.Event{
		said("ReconciliationSucceeded", "in 1s", "a"), said("ReconciliationSucceeded", "in 2s", "a"), said("ReconciliationSucceeded", "in 1s", "b"),
		said("BuildFailed", "x", "b"), said("BuildFailed", "y", "b"), said("BuildFailed", "y", "c"), said("ReconciliationSucceeded", "", "c"),
	} {
		var v verdict
		s, v = s.nextStatus(e, time.Now())
		got = append(got, v)
	}
	if diff := cmp.Diff([]verdict{fired, silent, fired, fired, silent, fired, fired}, got); diff != "" {
		t.Errorf("verdicts differ (-want +got):\n%s", diff)
	}
}

// TestRules: matching is Flux's.
func TestRules(t *testing.T) {
	failed, fine := said("BuildFailed", "no such file", "main@sha1:1"), said("Progressing", "Service/web created", "main@sha1:1")
	update := said("ReconciliationSucceeded", "finished", "main@sha1:1")
	update.Metadata["kustomize.toolkit.fluxcd.io/commit_status"] = "update"
	chart := said("BuildFailed", "x", "6.5.0")
	all := []Source{{Kind: "Kustomization", Name: "*"}}
	labelled := map[string]string{"team": "blue", "env": "eu"}
	cases := map[string]struct {
		why  string
		rule Rule
		said event.Event
		want bool
	}{
		"All":            {"an asterisk is every name", Rule{Sources: all}, fine, true},
		"Name":           {"a name is that one", Rule{Sources: []Source{{Kind: "Kustomization", Name: "web"}}}, fine, true},
		"Other name":     {"and no other", Rule{Sources: []Source{{Kind: "Kustomization", Name: "web2"}}}, fine, false},
		"Kind":           {"kinds are exact", Rule{Sources: []Source{{Kind: "HelmRelease", Name: "*"}}}, fine, false},
		"Namespace":      {"a source may be elsewhere", Rule{Sources: []Source{{Kind: "Kustomization", Name: "*", Namespace: "other"}}}, fine, false},
		"Second source":  {"one source is enough", Rule{Sources: append([]Source{{Kind: "Bucket", Name: "*"}}, all...)}, fine, true},
		"Labels":         {"labels all have to be there", Rule{Sources: []Source{{Kind: "Kustomization", Name: "*", Labels: map[string]string{"team": "blue"}}}}, fine, true},
		"Other labels":   {"with their values", Rule{Sources: []Source{{Kind: "Kustomization", Name: "*", Labels: map[string]string{"team": "red"}}}}, fine, false},
		"Error only":     {"error leaves information out", Rule{Sources: all, Severity: "error"}, fine, false},
		"Error":          {"and lets errors pass", Rule{Sources: all, Severity: "error"}, failed, true},
		"Info":           {"info is everything", Rule{Sources: all, Severity: "info"}, failed, true},
		"Excluded":       {"what is excluded is not told", Rule{Sources: all, Exclude: []string{"created$"}}, fine, false},
		"Included":       {"what is included alone is told", Rule{Sources: all, Include: []string{"^Service/.*"}}, fine, true},
		"Not included":   {"and nothing else", Rule{Sources: all, Include: []string{"^Deployment/"}}, fine, false},
		"Both":           {"exclusion wins", Rule{Sources: all, Include: []string{"Service"}, Exclude: []string{"web"}}, fine, false},
		"Broken":         {"a broken expression excludes nothing", Rule{Sources: all, Exclude: []string{"("}}, fine, true},
		"Chat update":    {"what sets a commit's status is not for people", Rule{Sources: all, Provider: Provider{Type: "slack"}}, update, false},
		"Forge update":   {"but for forges", Rule{Sources: all, Provider: Provider{Type: "github"}}, update, true},
		"Forge failure":  {"which hear of failures of a commit", Rule{Sources: all, Provider: Provider{Type: "github"}}, failed, true},
		"Forge chart":    {"and not of those of a chart", Rule{Sources: all, Provider: Provider{Type: "github"}}, chart, false},
		"Forge progress": {"and not of progress", Rule{Sources: all, Provider: Provider{Type: "github"}}, fine, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.rule.Namespace = "apps"
			about, err := c.rule.concerns(c.said, func() (map[string]string, error) { return labelled, nil })
			if err != nil {
				t.Fatal(err)
			}
			admitted, _ := c.rule.admits(c.said)
			if got := about && admitted && c.rule.Provider.takes(c.said); got != c.want {
				t.Errorf("%s: got %t", c.why, got)
			}
		})
	}
}

// TestMetadata: who says a key last wins, as in Flux's RFC 8.
func TestMetadata(t *testing.T) {
	e := said("BuildFailed", "x", "main@sha1:1")
	e.Metadata = map[string]string{
		"event.toolkit.fluxcd.io/team": "annotation", "event.toolkit.fluxcd.io/env": "annotation", "event.toolkit.fluxcd.io/revision": "annotation",
		"event.toolkit.fluxcd.io/summary": "annotation", "kustomize.toolkit.fluxcd.io/revision": "controller", "kustomize.toolkit.fluxcd.io/token": "t", "other.io/x": "y",
	}
	rule := Rule{Metadata: map[string]string{"env": "alert", "revision": "alert", "summary": "alert"}, Summary: "summary"}
	want := map[string]string{"team": "annotation", "env": "alert", "summary": "summary", "revision": "controller"}
	if diff := cmp.Diff(want, rule.enriched(e).Metadata); diff != "" {
		t.Errorf("metadata differ (-want +got):\n%s", diff)
	}
}
