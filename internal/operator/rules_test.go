package operator_test

import (
	"context"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const rule = "kustomize.toolkit.fluxcd.io/"

// TestRulesOfObjects: people steer the delivery of single objects by annotation.
func TestRulesOfObjects(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		why, key, value string
		// A ConfigMap with color=red and note=mine exists before, if there is one; Git says blue.
		before         bool
		wantColor      string
		wantNote       string
		wantAfterTouch string // color, after somebody set it to black
	}{
		"Disabled":            {why: "an object in the cluster stays as it is", key: "reconcile", value: "Disabled", before: true, wantColor: "red", wantNote: "mine", wantAfterTouch: "black"},
		"Ignore":              {why: "the same by another name", key: "ssa", value: "ignore", before: true, wantColor: "red", wantNote: "mine", wantAfterTouch: "black"},
		"IfNotPresent":        {why: "what is there is left alone", key: "ssa", value: "IfNotPresent", before: true, wantColor: "red", wantNote: "mine", wantAfterTouch: "black"},
		"IfNotPresentCreates": {why: "what is not there is made, and left alone from then on", key: "ssa", value: "IfNotPresent", wantColor: "blue", wantAfterTouch: "black"},
		"Merge":               {why: "fields of others stay, even kubectl's", key: "ssa", value: "Merge", before: true, wantColor: "blue", wantNote: "mine", wantAfterTouch: "blue"},
		"Override":            {why: "the default: kubectl's fields become ours, and go", key: "ssa", value: "Override", before: true, wantColor: "blue", wantAfterTouch: "blue"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			about := w.configMap("settings")
			if tc.before {
				old := about.DeepCopy()
				check(t, unstructured.SetNestedStringMap(old.Object, map[string]string{"color": "red", "note": "mine"}, "data"))
				check(t, w.client.Create(context.Background(), old, client.FieldOwner("kubectl-create")))
			}
			fence := configMap("fence", "state: up")
			w.deliver("apps", map[string]string{
				"apps/a.yaml": annotated(configMap("settings", "color: blue"), rule+tc.key, tc.value), "apps/b.yaml": fence,
			})
			live := read(w, about)
			if live == nil || field(live, "data", "color") != tc.wantColor || field(live, "data", "note") != tc.wantNote {
				t.Fatalf("%s: %s", tc.why, describe(live))
			}
			w.edit(about, set("color", "black"))
			w.edit(w.configMap("fence"), set("state", "down"))
			await(w, w.configMap("fence"), "up", holds("state", "up"))
			await(w, about, tc.wantAfterTouch, holds("color", tc.wantAfterTouch))
		})
	}
}

// TestLiveObjectMaySayNo: a person may take an object out of our hands where Git does not say so.
func TestLiveObjectMaySayNo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
	w.edit(w.configMap("settings"), func(u *unstructured.Unstructured) {
		u.SetAnnotations(map[string]string{rule + "reconcile": "disabled"})
		set("color", "red")(u)
	})
	w.ready("apps", w.commit(map[string]string{"apps/a.yaml": configMap("settings", "color: green")}))
	if !holds("color", "red")(read(w, w.configMap("settings"))) {
		t.Error("a commit got through to an object that says no")
	}
	w.edit(w.configMap("settings"), func(u *unstructured.Unstructured) { u.SetAnnotations(nil) })
	await(w, w.configMap("settings"), "green", holds("color", "green"))
}

// TestSubstituteDisabled: definitions are full of ${…} that is not meant for us.
func TestSubstituteDisabled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{
		"apps/a.yaml": annotated(configMap("raw", `text: "${color}"`), rule+"substitute", "disabled"),
		"apps/b.yaml": configMap("filled", `text: "${color}"`),
	}, func(u *kustomizev1.Kustomization) {
		u.Spec.PostBuild = &kustomizev1.PostBuild{Substitute: map[string]string{"color": "blue"}}
	})
	if !holds("text", "${color}")(read(w, w.configMap("raw"))) || !holds("text", "blue")(read(w, w.configMap("filled"))) {
		t.Errorf("%s\n%s", describe(read(w, w.configMap("raw"))), describe(read(w, w.configMap("filled"))))
	}
}

// TestForceRecreates: only a change of an immutable field is worth the loss of an object.
func TestForceRecreates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": deployment("web", "web", 0)})
	about := w.object("apps/v1", "Deployment", "web")
	first := read(w, about)

	w.commit(map[string]string{"apps/a.yaml": deployment("web", "shop", 0)})
	w.failed("apps", "ReconciliationFailed", "field is immutable")
	if read(w, about).GetUID() != first.GetUID() {
		t.Fatal("the object was recreated without force")
	}
	w.change("apps", func(u *kustomizev1.Kustomization) { u.Spec.Force = true })
	second := await(w, about, "recreated", func(u *unstructured.Unstructured) bool { return u != nil && u.GetUID() != first.GetUID() })
	w.until("apps", "ready", func(u *kustomizev1.Kustomization) bool { return isReady(u) && u.Status.ObservedGeneration == 2 })

	// A plain validation error deletes nothing, however much force there is.
	w.commit(map[string]string{"apps/a.yaml": strings.Replace(deployment("web", "shop", 0), "replicas: 0", "replicas: -1", 1)})
	w.failed("apps", "ReconciliationFailed", "dry-run failed")
	if live := read(w, about); live == nil || live.GetUID() != second.GetUID() {
		t.Error("a validation error cost the object")
	}
}

// TestForceByAnnotation: a Job's template is immutable; the object itself may allow its end.
func TestForceByAnnotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	job := func(image string) string {
		return annotated("apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: once\nspec:\n  suspend: true\n  template:\n    spec:\n      restartPolicy: Never\n"+
			"      containers:\n        - name: main\n          image: "+image+"\n", rule+"force", "Enabled")
	}
	w.deliver("apps", map[string]string{"apps/a.yaml": job("example.org/app:v1")})
	about := w.object("batch/v1", "Job", "once")
	first := read(w, about).GetUID()
	w.ready("apps", w.commit(map[string]string{"apps/a.yaml": strings.Replace(job("example.org/app:v2"), "suspend: true", "suspend: false", 1)}))
	if read(w, about).GetUID() == first {
		t.Error("the Job was not recreated")
	}
}

// TestIgnoredFields: a field that others may set is applied once, and neither drift nor a loop after.
func TestIgnoredFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": deployment("web", "web", 2), "apps/b.yaml": configMap("fence", "state: up")}, func(u *kustomizev1.Kustomization) {
		u.Spec.Ignore = []kustomizev1.IgnoreRule{{Paths: []string{"/spec/replicas"}, Target: &kustomize.Selector{Kind: "Deployment"}}}
	})
	about := w.object("apps/v1", "Deployment", "web")
	if field(read(w, about), "spec", "replicas") != "2" {
		t.Fatal("the field was not applied at first")
	}
	w.editAs("autoscaler", about, func(u *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(u.Object, int64(5), "spec", "replicas")
	})
	for range 3 { // each round gives a loop the time of one correction
		w.edit(w.configMap("fence"), set("state", "down"))
		await(w, w.configMap("fence"), "up", holds("state", "up"))
	}
	if got := field(read(w, about), "spec", "replicas"); got != "5" {
		t.Errorf("replicas are %s", got)
	}
	count := 0
	for _, one := range w.sent("deployments/web") {
		if one.writes() {
			count++
		}
	}
	if count > 2 { // the delivery, and at most one that gives the field away
		t.Errorf("%d writes", count)
	}
	w.ready("apps", w.commit(map[string]string{"apps/a.yaml": strings.Replace(deployment("web", "web", 2), "app:v1", "app:v2", 1)}))
	live := read(w, about)
	if field(live, "spec", "replicas") != "5" || !strings.Contains(describe(live), "app:v2") {
		t.Errorf("after a commit of another field: %s", describe(live))
	}
	// And drift of another field of the object is still undone.
	w.edit(about, func(u *unstructured.Unstructured) {
		containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
		containers[0].(map[string]any)["image"] = "example.org/app:v3"
		_ = unstructured.SetNestedSlice(u.Object, containers, "spec", "template", "spec", "containers")
	})
	live = await(w, about, "on v2 again", func(u *unstructured.Unstructured) bool { return strings.Contains(describe(u), "app:v2") })
	if field(live, "spec", "replicas") != "5" {
		t.Error("correcting another field set back the one that is ignored")
	}
}
