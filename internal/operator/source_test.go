package operator_test

import (
	"net/http"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

// TestGitServerAway: what was fetched last goes on being held, and even a source that is gone takes
// nothing with it.
func TestGitServerAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
	w.git.Break(gittest.Always(gittest.Status(http.StatusBadGateway, "out of order")))
	w.commit(map[string]string{"apps/a.yaml": configMap("settings", "color: red")})
	source := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: sourceName}}
	await(w, source, "failing", func(s *sourcev1.GitRepository) bool {
		for _, c := range s.Status.Conditions {
			if c.Type == "Ready" && c.Status == metav1.ConditionFalse {
				return true
			}
		}
		return false
	})
	if u := w.ask("apps"); !isReady(u) {
		t.Errorf("the last artifact is as good as it was: %s", describe(u))
	}
	w.edit(w.configMap("settings"), set("color", "green"))
	await(w, w.configMap("settings"), "blue again", holds("color", "blue"))

	w.delete(source)
	await(w, source, "gone", func(s *sourcev1.GitRepository) bool { return s == nil })
	w.ask("apps")
	w.failed("apps", "ArtifactFailed", "not found")
	w.delete(w.configMap("settings"))
	await(w, w.configMap("settings"), "there again", holds("color", "blue"))
}
