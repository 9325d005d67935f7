package operator_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

func label(key, value string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) {
		labels := u.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[key] = value
		if value == "" {
			delete(labels, key)
		}
		u.SetLabels(labels)
	}
}

// TestDriftIsUndone: what Git says holds, whoever changes it and however.
func TestDriftIsUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue", "size: small")})
	about := w.configMap("settings")
	whole := func(u *unstructured.Unstructured) bool {
		return u != nil && field(u, "data", "color") == "blue" && field(u, "data", "size") == "small" &&
			u.GetLabels()["kustomize.toolkit.fluxcd.io/name"] == "apps"
	}
	steps := []struct {
		why string
		do  func()
	}{
		{"a changed value", func() { w.edit(about, set("color", "red")) }},
		{"a removed value", func() {
			w.edit(about, func(u *unstructured.Unstructured) { unstructured.RemoveNestedField(u.Object, "data", "size") })
		}},
		{"a deleted object", func() { w.delete(about) }},
		{"a removed owner label", func() { w.edit(about, label("kustomize.toolkit.fluxcd.io/name", "")) }},
		{"another manager that applies with force", func() {
			w.apply(about, "other", configMap("settings", "color: green"))
		}},
	}
	for _, step := range steps {
		step.do()
		await(w, about, "undone: "+step.why, whole)
	}
}

// apply sends a manifest as another field manager, with force.
func (w *world) apply(about *unstructured.Unstructured, manager, manifest string) {
	w.t.Helper()
	wish := &unstructured.Unstructured{}
	check(w.t, yaml.Unmarshal([]byte(manifest), &wish.Object))
	wish.SetNamespace(about.GetNamespace())
	err := w.client.Patch(context.Background(), wish, client.Apply, client.FieldOwner(manager), client.ForceOwnership) //nolint:staticcheck // unstructured
	check(w.t, err)
}

// TestOthersKeepTheirFields: what Git does not say is not ours, and a change of it causes no request.
func TestOthersKeepTheirFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{
		"apps/a.yaml": deployment("web", "web", -1), "apps/b.yaml": configMap("fence", "state: up"),
	})
	about := w.object("apps/v1", "Deployment", "web")
	w.daemon.traffic.take(w.namespace)
	w.editAs("autoscaler", about, func(u *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(u.Object, int64(0), "spec", "replicas")
		u.SetAnnotations(map[string]string{"example.org/note": "mine"})
		label("example.org/team", "blue")(u)
		u.SetFinalizers([]string{"example.org/hold"})
	})
	// What that edit could cause is over when a later change of another object is undone.
	w.edit(w.configMap("fence"), set("state", "down"))
	await(w, w.configMap("fence"), "up", holds("state", "up"))

	live := read(w, about)
	if field(live, "spec", "replicas") != "0" || live.GetAnnotations()["example.org/note"] != "mine" ||
		live.GetLabels()["example.org/team"] != "blue" || len(live.GetFinalizers()) != 1 {
		t.Errorf("fields of others were touched: %s", describe(live))
	}
	if sent := w.sent("deployments/web"); len(sent) > 0 {
		t.Errorf("requests about an object that did not drift: %v", texts(sent))
	}
	// And they outlive a commit that changes a field of ours.
	revision := w.commit(map[string]string{"apps/a.yaml": deployment("web", "web", -1) + "          env: [{name: A, value: b}]\n"})
	w.ready("apps", revision)
	live = read(w, about)
	if field(live, "spec", "replicas") != "0" || len(live.GetFinalizers()) != 1 {
		t.Errorf("a commit touched fields of others: %s", describe(live))
	}
	w.edit(about, func(u *unstructured.Unstructured) { u.SetFinalizers(nil) })
}

// TestTakeOverFromKubectl: what kubectl applied by hand and Git does not have any more must not stay
// because kubectl still counts as its owner.
func TestTakeOverFromKubectl(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	about := w.configMap("settings")
	old := about.DeepCopy()
	check(t, unstructured.SetNestedStringMap(old.Object, map[string]string{"color": "red", "left": "over"}, "data"))
	old.SetAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", "example.org/note": "mine"})
	check(t, w.client.Create(context.Background(), old, client.FieldOwner("kubectl-client-side-apply")))

	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
	live := read(w, about)
	data, _, _ := unstructured.NestedStringMap(live.Object, "data")
	if diff := cmp.Diff(map[string]string{"color": "blue"}, data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if _, found := live.GetAnnotations()["kubectl.kubernetes.io/last-applied-configuration"]; found {
		t.Error("kubectl's annotation is still there")
	}
	if got := managersOf(live.GetManagedFields()); !cmp.Equal(got, []string{"kustomize-controller Apply"}) {
		t.Errorf("managers: %v", got)
	}
}

// TestFightBacksOff: two that correct each other for ever would load the server and help nobody.
func TestFightBacksOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
	about := w.configMap("settings")
	for range 6 {
		await(w, about, "ours", holds("color", "blue"))
		w.edit(about, set("color", "red"))
	}
	event := w.told("apps", "was corrected 5 times within 1m0s and is changed again by field manager kubectl-edit")
	if event.Type != "Warning" {
		t.Errorf("the event is of type %s", event.Type)
	}
	await(w, about, "ours after the truce", holds("color", "blue"))
	var corrections []time.Time
	for _, one := range w.sent("configmaps/settings") {
		if one.writes() {
			corrections = append(corrections, one.At)
		}
	}
	if last := len(corrections) - 1; last != 6 || corrections[last].Sub(corrections[last-1]) < 10*time.Second {
		t.Errorf("after the delivery and five corrections, the next was not put off by ten seconds: %v", corrections)
	}
}
