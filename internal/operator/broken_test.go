package operator_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

// set returns an edit of an object's data.
func set(key, value string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(u.Object, value, "data", key)
	}
}

// TestBrokenCommits: whatever a commit breaks, the cluster stays on what it had, drift of that is still
// undone, and the repaired commit is delivered without help.
func TestBrokenCommits(t *testing.T) {
	t.Parallel()
	good := configMap("settings", "color: blue")
	cases := map[string]struct {
		why, reason, text string
		files             map[string]string
	}{
		"Manifest": {
			why:    "a manifest that is no YAML is named with its file",
			reason: "BuildFailed", text: "apps/b.yaml",
			files: map[string]string{"apps/b.yaml": "kind: ConfigMap\n  broken: [\n"},
		},
		"Path": {
			why:    "a missing folder is an error, and nothing to prune by",
			reason: "ArtifactFailed", text: "kustomization path not found: ./apps",
			files: map[string]string{"apps/a.yaml": "", "other/a.yaml": good},
		},
		"Twice": {
			why:    "the same object twice has no meaning",
			reason: "BuildFailed", text: "settings",
			files: map[string]string{"apps/b.yaml": good},
		},
		"Refused": {
			why:    "an object that the server refuses stops the whole stage before its first write",
			reason: "ReconciliationFailed", text: "dry-run failed",
			files: map[string]string{
				"apps/a.yaml": configMap("settings", "color: red"),
				"apps/b.yaml": "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n    - port: 99999\n",
			},
		},
		"Kind": {
			why:    "a kind that nobody serves is named",
			reason: "ReconciliationFailed", text: "Missing",
			files: map[string]string{"apps/b.yaml": "apiVersion: nobody.example.org/v1\nkind: Missing\nmetadata:\n  name: one\n"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			first := w.deliver("apps", map[string]string{"apps/a.yaml": good})
			w.commit(tc.files)
			u := w.failed("apps", tc.reason, tc.text)
			if u.Status.LastAppliedRevision != first.Status.LastAppliedRevision {
				t.Errorf("%s: applied revision moved to %s", tc.why, u.Status.LastAppliedRevision)
			}
			if !holds("color", "blue")(read(w, w.configMap("settings"))) {
				t.Errorf("%s: the object was touched", tc.why)
			}
			w.edit(w.configMap("settings"), set("color", "green"))
			await(w, w.configMap("settings"), "blue again", holds("color", "blue"))
			w.delete(w.configMap("settings"))
			await(w, w.configMap("settings"), "there again", holds("color", "blue"))
			w.told("apps", "ConfigMap/"+w.namespace+"/settings created")

			w.ready("apps", w.commit(map[string]string{"apps/a.yaml": good, "apps/b.yaml": ""}))
		})
	}
}

// TestFailureIsSaidOnce: the same failure again is no news, neither for the status nor for people.
func TestFailureIsSaidOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
	w.commit(map[string]string{"apps/a.yaml": "kind: [\n"})
	first := w.failed("apps", "BuildFailed", "")
	w.told("apps", "apps/a.yaml")
	revision := w.commit(map[string]string{"elsewhere/x.md": "x"})
	second := w.until("apps", "attempted", func(u *kustomizev1.Kustomization) bool { return u.Status.LastAttemptedRevision == revision })
	if a, b := condition(first, "Ready"), condition(second, "Ready"); a != b {
		t.Errorf("the condition changed from %+v to %+v", a, b)
	}
	count := 0
	for _, event := range w.events("apps") {
		if strings.Contains(event, "apps/a.yaml") {
			count++
		}
	}
	if count != 1 {
		t.Errorf("people were told %d times: %s", count, strings.Join(w.events("apps"), "\n"))
	}
	if condition(second, "Reconciling").Status == metav1.ConditionFalse {
		t.Error("a failing unit is still trying")
	}
}
