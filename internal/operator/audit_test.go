package operator_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/operator"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/audit/anchor"
	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

// TestAudit: what a source does is recorded, signed and anchored, and nothing of what is delivered is
// in the store.
func TestAudit(t *testing.T) {
	t.Parallel()
	shared(t)
	w := emptyWorld(t)
	w.own = true
	store, repository := filepath.Join(t.TempDir(), "record.db"), filepath.Join(t.TempDir(), "audit.git")
	w.daemon = w.start(func(c *operator.Config) {
		c.Namespace = w.namespace
		c.Audit = operator.Audit{Store: database.File(store), GitDir: repository}
	})
	const canary = "c4n4ry-v4lue"
	w.deliver("apps", map[string]string{"apps/a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: " + canary + "}\n"})
	w.git.Break(gittest.Always(gittest.Status(http.StatusBadGateway, "out of order")))
	w.daemon.WakeSource(w.namespace, sourceName)
	source := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: sourceName}}
	await(w, source, "failing", sourceIs(metav1.ConditionFalse))
	w.git.Break(nil)
	w.daemon.WakeSource(w.namespace, sourceName)
	await(w, source, "ready again", sourceIs(metav1.ConditionTrue))
	w.daemon.halt()

	db, err := database.OpenToRead(database.File(store))
	check(t, err)
	defer func() { _ = db.Close() }()
	found, err := audit.List(t.Context(), db, audit.Filter{Subject: "GitRepository/" + w.namespace + "/" + sourceName})
	check(t, err)
	var kinds []record.Kind
	for _, r := range found {
		kinds = append(kinds, r.Entry.Kind)
	}
	if want := []record.Kind{record.Configured, record.RevisionSeen, record.SourceFailed, record.SourceRecovered}; !slices.Equal(kinds, want) {
		t.Errorf("recorded is %s, want %s", kinds, want)
	}
	for _, kept := range []audit.Anchor{anchor.Cluster{Client: w.client, Namespace: w.namespace}, anchor.Git{Dir: repository}} {
		last, err := kept.Last(context.Background())
		check(t, err)
		report, err := audit.Verify(t.Context(), db, audit.Trust{Verifiers: []string{last.Verifier}, Notes: []string{last.Note}})
		if err != nil || report.Vouched != report.Size || report.Size < 4 {
			t.Errorf("%s vouches for all of it: %+v %v", kept, report, err)
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(store + suffix)
		if err == nil && strings.Contains(string(content), canary) {
			t.Errorf("a value of a Secret is in %s%s", store, suffix)
		}
	}
}

func sourceIs(status metav1.ConditionStatus) func(*sourcev1.GitRepository) bool {
	return func(s *sourcev1.GitRepository) bool {
		return slices.ContainsFunc(s.Status.Conditions, func(c metav1.Condition) bool { return c.Type == "Ready" && c.Status == status })
	}
}

// TestAuditIsNotForEverybody: the daemon listens for readers of the log, and strangers get nothing.
func TestAuditIsNotForEverybody(t *testing.T) {
	t.Parallel()
	w := newOwnWorld(t, func(c *operator.Config) { c.AuditAddress = "127.0.0.1:0" })
	answer, err := http.Get("http://" + w.daemon.AuditHost() + "/v1/export") //nolint:noctx // a test's own server
	check(t, err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stranger is answered with %d", answer.StatusCode)
	}
}
