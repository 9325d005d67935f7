package operator_test

import (
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/record/history"
)

// unbaked makes a release good as soon as it is healthy.
func unbaked(u *kustomizev1.Kustomization) { annotate(u, "holdfast.dev/bake", "0s") }

func annotate(u *kustomizev1.Kustomization, key, value string) {
	if u.Annotations == nil {
		u.Annotations = map[string]string{}
	}
	u.Annotations[key] = value
}

// stuck is a Deployment that never comes up, and says so within a second or two: no node is for it.
func stuck(name string) string {
	manifest := strings.Replace(deployment(name, name, 1), "spec:\n  replicas", "spec:\n  progressDeadlineSeconds: 1\n  replicas", 1)
	return strings.Replace(manifest, "      containers:", "      nodeSelector: {nobody: here}\n      containers:", 1)
}

// counted checks what a kept release says of how many objects it changed.
func (w *world) counted(name string, number int64, want release.Counts) {
	w.t.Helper()
	for _, one := range w.releases(name) {
		if one.Number == number {
			if diff := cmp.Diff(want, one.Counts); diff != "" {
				w.t.Errorf("release %d changed (-want +got):\n%s", number, diff)
			}
			return
		}
	}
	w.t.Errorf("release %d is not kept", number)
}

// verdicts returns what the kept releases of a unit came to, the newest first.
func (w *world) verdicts(name string) []string {
	w.t.Helper()
	var told []string
	for _, one := range w.releases(name) {
		told = append(told, string(one.Verdict))
	}
	return told
}

// releases returns the kept releases of a unit, the newest first.
func (w *world) releases(name string) release.Book {
	w.t.Helper()
	var list metav1.PartialObjectMetadataList
	list.APIVersion, list.Kind = "v1", "SecretList"
	check(w.t, w.client.List(w.t.Context(), &list, client.InNamespace(w.home), client.HasLabels{history.LabelUnit}))
	var book release.Book
	for i := range list.Items {
		_, unit, one, err := history.Decode(&list.Items[i])
		if err == nil && unit.Namespace == w.namespace && unit.Name == name {
			book = book.With(one)
		}
	}
	return book
}

// good waits until the newest release of a unit is good.
func (w *world) good(name string) {
	w.t.Helper()
	eventually.True(w.t, "the newest release of "+name+" is good", func() bool {
		told := w.verdicts(name)
		return len(told) > 0 && told[0] == "Good"
	})
}

// content is what Git can decide of an object.
func content(u *unstructured.Unstructured) map[string]any {
	kept := u.DeepCopy().Object
	delete(kept, "status")
	metadata, _ := kept["metadata"].(map[string]any)
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"} {
		delete(metadata, field)
	}
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		delete(annotations, "deployment.kubernetes.io/revision") // the deployment controller counts on
	}
	return kept
}

// TestRollbackRestoresExactly: a release that changed, created and pruned objects, and fails, leaves
// nothing behind but what it may not take away.
func TestRollbackRestoresExactly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := map[string]string{
		"apps/changed.yaml": configMap("changed", "color: blue", "size: small"),
		"apps/pruned.yaml":  configMap("pruned", "color: blue"),
		"apps/web.yaml":     deployment("web", "web", 1),
	}
	u := w.deliver("apps", first, waits, unbaked)
	good := u.Status.LastAppliedRevision
	w.good("apps")
	before := map[string]map[string]any{}
	for _, name := range []string{"changed", "pruned"} {
		before[name] = content(read(w, w.configMap(name)))
	}
	web := w.object("apps/v1", "Deployment", "web")
	before["web"] = content(read(w, web))

	bad := w.commit(map[string]string{
		"apps/changed.yaml": configMap("changed", "color: red"),
		"apps/pruned.yaml":  "",
		"apps/created.yaml": configMap("created", "color: red"),
		"apps/claim.yaml":   "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: claim\nspec:\n  accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Gi}}\n",
		"apps/web.yaml":     stuck("web"),
	})
	u = w.failed("apps", "RolledBack", "Git wants "+bad)
	if u.Status.LastAppliedRevision != good || u.Status.LastAttemptedRevision != bad {
		t.Errorf("the status tells of another state: %s", describe(u))
	}
	if message := condition(u, meta.ReadyCondition).Message; !strings.Contains(message, "the cluster runs release 1, "+good) ||
		!strings.Contains(message, "Deployment/"+w.namespace+"/web") || !strings.Contains(message, "PersistentVolumeClaim/"+w.namespace+"/claim") ||
		!strings.Contains(message, "holdfast retry apps -n ") {
		t.Errorf("the message does not say what runs, why, what is left and what to do: %s", message)
	}
	for name, want := range before {
		about := w.configMap(name)
		if name == "web" {
			about = web
		}
		if diff := cmp.Diff(want, content(read(w, about))); diff != "" {
			t.Errorf("%s is not what it was (-want +got):\n%s", name, diff)
		}
	}
	if read(w, w.configMap("created")) != nil {
		t.Error("what the failed release created is still there")
	}
	if read(w, w.object("v1", "PersistentVolumeClaim", "claim")) == nil {
		t.Error("a claim, which may hold data, was deleted")
	}
	if diff := cmp.Diff([]string{"RolledBack", "Good"}, w.verdicts("apps")); diff != "" {
		t.Errorf("the releases (-want +got):\n%s", diff)
	}
	w.told("apps", "Git wants "+bad)
	w.counted("apps", 1, release.Counts{Objects: 3, Created: 3})
	w.counted("apps", 2, release.Counts{Objects: 4, Created: 2, Configured: 2, Deleted: 1})
	alerts := 0
	for _, event := range w.events("apps") {
		if strings.HasPrefix(event, "Warning") {
			alerts++
		}
	}
	if alerts != 1 {
		t.Errorf("%d warnings were told, want one:\n%s", alerts, strings.Join(w.events("apps"), "\n"))
	}

	// A fix ends the hold.
	fixed := w.commit(map[string]string{"apps/web.yaml": deployment("web", "web", 2)})
	w.ready("apps", fixed)
	await(w, w.configMap("changed"), "what Git wants", holds("color", "red"))
	await(w, w.configMap("created"), "there", holds("color", "red"))
}

// TestHold: what ends a hold, and what does not.
func TestHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := configMap("settings", "color: blue")
	w.deliver("apps", map[string]string{"apps/a.yaml": good}, waits, unbaked)
	w.good("apps")
	bad := map[string]string{"apps/a.yaml": configMap("settings", "color: red"), "apps/web.yaml": stuck("web")}
	w.commit(bad)
	w.failed("apps", "RolledBack", "Git wants")
	await(w, w.configMap("settings"), "back", holds("color", "blue"))

	// A commit that does not concern the unit is no new try; the message names it.
	unrelated := w.commit(map[string]string{"other/b.yaml": configMap("other")})
	w.failed("apps", "RolledBack", "Git wants "+unrelated)
	// Drift is set back to what stands, not to what Git wants.
	w.edit(w.configMap("settings"), set("color", "green"))
	await(w, w.configMap("settings"), "set back", holds("color", "blue"))
	// A build that breaks meanwhile is told of; what stands is kept.
	w.commit(map[string]string{"apps/broken.yaml": "kind: [\n"})
	w.failed("apps", "BuildFailed", "apps/broken.yaml")
	w.edit(w.configMap("settings"), set("color", "green"))
	await(w, w.configMap("settings"), "set back", holds("color", "blue"))
	w.commit(map[string]string{"apps/broken.yaml": ""})
	w.failed("apps", "RolledBack", "Git wants")
	if diff := cmp.Diff([]string{"Rejected", "RolledBack", "Good"}, w.verdicts("apps")); diff != "" {
		t.Errorf("the releases (-want +got):\n%s", diff)
	}

	// A person may ask for one more try; it fails again, and is held again.
	w.change("apps", func(u *kustomizev1.Kustomization) {
		annotate(u, "holdfast.dev/retry", "1")
		annotate(u, "holdfast.dev/requested-by", "jane")
	})
	w.until("apps", "held again", func(*kustomizev1.Kustomization) bool {
		told := w.verdicts("apps")
		return len(told) == 4 && told[0] == "RolledBack"
	})
	// A revert ends the hold, without a write to any object.
	before := read(w, w.configMap("settings")).GetResourceVersion()
	reverted := w.commit(map[string]string{"apps/a.yaml": good, "apps/web.yaml": ""})
	w.ready("apps", reverted)
	if after := read(w, w.configMap("settings")).GetResourceVersion(); after != before {
		t.Error("a revert to what runs wrote an object")
	}
	// The same mistake again is a new wish by now, and tried at once.
	w.good("apps")
	w.commit(bad)
	w.failed("apps", "RolledBack", "Git wants")
}

// TestFirstReleaseFails: there is nothing to go back to, and the status says so.
func TestFirstReleaseFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(map[string]string{"apps/a.yaml": configMap("a"), "apps/web.yaml": stuck("web")})
	w.source()
	w.unit("apps", waits, unbaked)
	w.failed("apps", "HealthCheckFailed", "there is no earlier good release to go back to")
	if read(w, w.configMap("a")) == nil {
		t.Error("what was delivered is gone")
	}
	// It may still come to good.
	revision := w.commit(map[string]string{"apps/web.yaml": deployment("web", "web", 1)})
	w.ready("apps", revision)
	w.good("apps")
}

// TestRollbackDisabled: a unit may want its failures left where they are.
func TestRollbackDisabled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("a", "color: blue")}, waits, unbaked,
		func(u *kustomizev1.Kustomization) { annotate(u, "holdfast.dev/rollback", "disabled") })
	w.good("apps")
	w.commit(map[string]string{"apps/a.yaml": configMap("a", "color: red"), "apps/web.yaml": stuck("web")})
	w.failed("apps", "HealthCheckFailed", "rollback is disabled for this unit")
	await(w, w.configMap("a"), "as Git wants", holds("color", "red"))
}

// TestRollbackByHand: a person goes back to an older release, and the wish of Git is held.
func TestRollbackByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("a", "color: blue")}, unbaked)
	w.good("apps")
	w.ready("apps", w.commit(map[string]string{"apps/a.yaml": configMap("a", "color: red")}))
	w.good("apps")
	w.change("apps", func(u *kustomizev1.Kustomization) {
		annotate(u, "holdfast.dev/roll-back", "1")
		annotate(u, "holdfast.dev/reason", "the colour hurts")
	})
	w.failed("apps", "RolledBack", "the colour hurts")
	await(w, w.configMap("a"), "back", holds("color", "blue"))
	w.change("apps", func(u *kustomizev1.Kustomization) {
		annotate(u, "holdfast.dev/roll-back", "2")
		annotate(u, "holdfast.dev/roll-back-to", "77")
	})
	w.failed("apps", "RollbackRefused", "release 77 is not among those that are kept")
	w.change("apps", func(u *kustomizev1.Kustomization) {
		delete(u.Annotations, "holdfast.dev/roll-back")
		annotate(u, "holdfast.dev/retry", "1")
	})
	await(w, w.configMap("a"), "as Git wants", holds("color", "red"))
}

// TestRegressionDuringBake: what fails soon after it was healthy is undone as well, although the unit
// was ready.
func TestRegressionDuringBake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Health is what somebody else writes into a field that Git does not set.
	judged := func(u *kustomizev1.Kustomization) {
		u.Spec.HealthCheckExprs = []kustomize.CustomHealthCheck{{APIVersion: "v1", Kind: "ConfigMap", HealthCheckExpressions: kustomize.HealthCheckExpressions{
			Failed: "has(data.state) && data.state == 'broken'", Current: "!has(data.state) || data.state != 'broken'",
		}}}
	}
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("a", "color: blue"), "apps/b.yaml": configMap("b", "color: blue")}, waits, unbaked, judged)
	w.good("apps")
	w.change("apps", func(u *kustomizev1.Kustomization) { annotate(u, "holdfast.dev/bake", "1h") })
	second := w.commit(map[string]string{"apps/a.yaml": configMap("a", "color: red")})
	w.ready("apps", second)
	w.edit(w.configMap("a"), set("state", "broken"))
	u := w.failed("apps", "RolledBack", "Git wants "+second)
	if u.Status.LastAppliedRevision == second {
		t.Errorf("the status says that the failed revision is applied: %s", describe(u))
	}
	await(w, w.configMap("a"), "back", holds("color", "blue"))
}

// TestRestartWhileHeld: a daemon that starts over a held unit holds it, even where the build is broken,
// and sets drift back to what stands.
func TestRestartWhileHeld(t *testing.T) {
	t.Parallel()
	w := newOwnWorld(t, nil)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("a", "color: blue")}, waits, unbaked)
	w.good("apps")
	w.commit(map[string]string{"apps/a.yaml": configMap("a", "color: red"), "apps/web.yaml": stuck("web")})
	w.failed("apps", "RolledBack", "Git wants")
	w.commit(map[string]string{"apps/broken.yaml": "kind: [\n"})
	w.failed("apps", "BuildFailed", "apps/broken.yaml")
	w.daemon.halt()
	w.edit(w.configMap("a"), set("color", "green"))
	w.daemon = w.start(nil)
	await(w, w.configMap("a"), "set back", holds("color", "blue"))
	w.commit(map[string]string{"apps/broken.yaml": ""})
	w.failed("apps", "RolledBack", "Git wants")
	await(w, w.configMap("a"), "kept", holds("color", "blue"))
}

// TestNewerCommitPreempts: nobody waits for the timeout of a release that has been replaced.
func TestNewerCommitPreempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("a", "color: blue")}, waits, unbaked,
		func(u *kustomizev1.Kustomization) { u.Spec.Timeout = &metav1.Duration{Duration: time.Hour} })
	w.good("apps")
	slow := strings.Replace(stuck("web"), "  progressDeadlineSeconds: 1\n", "", 1)
	w.commit(map[string]string{"apps/web.yaml": slow})
	await(w, w.object("apps/v1", "Deployment", "web"), "there", func(u *unstructured.Unstructured) bool { return u != nil })
	w.ready("apps", w.commit(map[string]string{"apps/web.yaml": deployment("web", "web", 1)}))
	w.good("apps")
	if diff := cmp.Diff([]string{"Good", "Pending", "Good"}, w.verdicts("apps")); diff != "" {
		t.Errorf("the releases (-want +got):\n%s", diff)
	}
}
