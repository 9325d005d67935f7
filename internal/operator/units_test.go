package operator_test

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestBrokenUnitStopsNobodyElse: units that share a source share no fate.
func TestBrokenUnitStopsNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revision := w.commit(map[string]string{"a/a.yaml": configMap("a"), "b/b.yaml": "kind: [\n", "c/c.yaml": configMap("c")})
	w.source()
	for _, name := range []string{"a", "b", "c"} {
		w.unit(name)
	}
	w.ready("a", revision)
	w.ready("c", revision)
	w.failed("b", "BuildFailed", "b/b.yaml")
}

// TestObjectMovesBetweenUnits: an object that one unit gives up and another takes over in the same
// commit is never deleted in between, whoever is first.
func TestObjectMovesBetweenUnits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cm := configMap("moving", "color: blue")
	revision := w.commit(map[string]string{"a/a.yaml": cm, "a/rest.yaml": configMap("a"), "b/rest.yaml": configMap("b")})
	w.source()
	w.unit("a")
	w.unit("b", dependsOn("a")) // so that the one that gives it up always comes first
	w.ready("b", revision)
	first := read(w, w.configMap("moving")).GetUID()
	for i, step := range []map[string]string{
		{"a/a.yaml": "", "b/b.yaml": cm}, // with the order
		{"a/a.yaml": cm, "b/b.yaml": ""}, // against it
	} {
		revision = w.commit(step)
		w.ready("a", revision)
		w.ready("b", revision)
		live := read(w, w.configMap("moving"))
		if live == nil || live.GetUID() != first {
			t.Fatalf("step %d: the object was deleted in between", i)
		}
		want := map[int]string{0: "b", 1: "a"}[i]
		if got := live.GetLabels()[rule+"name"]; got != want {
			t.Errorf("step %d: it belongs to %s, want %s", i, got, want)
		}
	}
	w.until("b", "without the object", func(u *kustomizev1.Kustomization) bool { return len(u.Status.Inventory.Entries) == 1 })
	w.until("a", "with the object", func(u *kustomizev1.Kustomization) bool { return len(u.Status.Inventory.Entries) == 2 })
}

// TestSuspendAndRequests: a suspended unit does nothing but answer; everything counts again on resume.
func TestSuspendAndRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
	u := w.ask("apps")
	if !isReady(u) || u.Status.History[0].TotalReconciliations != 2 {
		t.Errorf("after a request: %s", describe(u))
	}
	w.change("apps", func(u *kustomizev1.Kustomization) { u.Spec.Suspend = true })
	w.ask("apps")
	revision := w.commit(map[string]string{"apps/a.yaml": configMap("settings", "color: red")})
	w.fetched(revision)
	w.edit(w.configMap("settings"), set("color", "green"))
	if u := w.ask("apps"); u.Status.LastAppliedRevision == revision || !isReady(u) {
		t.Errorf("while suspended: %s", describe(u))
	}
	if !holds("color", "green")(read(w, w.configMap("settings"))) {
		t.Error("a suspended unit wrote")
	}
	w.change("apps", func(u *kustomizev1.Kustomization) { u.Spec.Suspend = false })
	w.ready("apps", revision)
	if !holds("color", "red")(read(w, w.configMap("settings"))) {
		t.Error("after the resume the cluster does not have what Git says")
	}
	w.commit(map[string]string{"apps/a.yaml": "kind: [\n"})
	w.failed("apps", "BuildFailed", "")
	if u := w.ask("apps"); isReady(u) {
		t.Errorf("a request on a failing unit: %s", describe(u))
	}
}

// TestSelfManagement: a repository that Flux was bootstrapped from holds the very resources that
// deliver it.
func TestSelfManagement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sync := "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata:\n  name: " + sourceName + "\n  namespace: " + w.namespace +
		"\nspec:\n  interval: 1h\n  url: " + w.repo.URL() + "\n  ref: {branch: main}\n---\n" +
		"apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: flux-system\n  namespace: " + w.namespace +
		"\nspec:\n  interval: 1h\n  path: ./flux-system\n  prune: true\n  wait: true\n  sourceRef: {kind: GitRepository, name: " + sourceName + "}\n"
	files := map[string]string{"flux-system/sync.yaml": sync, "flux-system/a.yaml": strings.Replace(configMap("settings", "color: blue"), "  name:", "  namespace: "+w.namespace+"\n  name:", 1)}
	revision := w.commit(files)
	w.source()
	w.unit("flux-system", func(u *kustomizev1.Kustomization) {
		u.Spec.TargetNamespace, u.Spec.Wait = "", true
	})
	w.ready("flux-system", revision)
	u := w.ready("flux-system", w.commit(map[string]string{"flux-system/a.yaml": strings.Replace(files["flux-system/a.yaml"], "blue", "red", 1)}))
	if len(u.Status.Inventory.Entries) != 3 || u.Labels[rule+"name"] != "flux-system" {
		t.Errorf("it does not manage itself: %s", describe(u.Status.Inventory))
	}
	// A change of its own spec by hand is drift like any other.
	w.change("flux-system", func(u *kustomizev1.Kustomization) { u.Spec.Interval = metav1.Duration{Duration: 7e9} })
	w.until("flux-system", "as Git says", func(u *kustomizev1.Kustomization) bool { return u.Spec.Interval.Hours() == 1 })
	w.change("flux-system", func(u *kustomizev1.Kustomization) { u.Spec.DeletionPolicy = kustomizev1.DeletionPolicyOrphan })
}

// TestTwoUnitsWantOneObject: nobody can win that, so people are told who fights whom, and when one of
// them gives up, the other has it.
func TestTwoUnitsWantOneObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revision := w.commit(map[string]string{"a/a.yaml": configMap("both", "color: blue"), "b/b.yaml": configMap("both", "color: red"), "b/c.yaml": configMap("b")})
	w.source()
	w.unit("a")
	w.ready("a", revision)
	w.unit("b")
	w.ready("b", revision)
	event, found := find(w, &corev1.EventList{}, func(e *corev1.Event) bool { return strings.Contains(e.Message, "which wants it, too") })
	if !found || !strings.Contains(event.Message, "changed again by unit "+w.namespace+"/") {
		t.Errorf("nobody is told: %v", event)
	}
	w.ready("b", w.commit(map[string]string{"b/b.yaml": ""}))
	await(w, w.configMap("both"), "a's", func(u *unstructured.Unstructured) bool {
		return holds("color", "blue")(u) && u.GetLabels()[rule+"name"] == "a"
	})
	w.until("b", "without the object", func(u *kustomizev1.Kustomization) bool { return len(u.Status.Inventory.Entries) == 1 })
}
