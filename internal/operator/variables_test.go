package operator_test

import (
	"context"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func (w *world) config(name string, data map[string]string) {
	w.t.Helper()
	u := w.configMap(name)
	check(w.t, unstructured.SetNestedStringMap(u.Object, data, "data"))
	if read(w, u) != nil {
		check(w.t, w.client.Update(context.Background(), u))
		return
	}
	w.create(u)
}

// TestVariables: values come from ConfigMaps and Secrets, a later one wins, and a change of one is
// delivered at once.
func TestVariables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config("vars", map[string]string{"color": "blue", "size": "small"})
	revision := w.commit(map[string]string{"apps/a.yaml": configMap("settings", `color: "${color}"`, `size: "${size}"`, `mood: "${mood:=calm}"`, `token: "${token}"`)})
	w.source()
	w.unit("apps", func(u *kustomizev1.Kustomization) {
		u.Spec.PostBuild = &kustomizev1.PostBuild{
			Substitute: map[string]string{"size": "large"},
			SubstituteFrom: []kustomizev1.SubstituteReference{
				{Kind: "ConfigMap", Name: "vars"}, {Kind: "ConfigMap", Name: "nowhere", Optional: true}, {Kind: "Secret", Name: "tokens"},
			},
		}
	})
	w.failed("apps", "BuildFailed", `substitute from 'Secret/tokens' error: secrets "tokens" not found`)
	w.secret("tokens", map[string]string{"token": "canary-one", "color": "red"})
	w.ready("apps", revision)
	about := w.configMap("settings")
	live := read(w, about)
	for key, want := range map[string]string{"color": "red", "size": "large", "mood": "calm", "token": "canary-one"} {
		if got := field(live, "data", key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	w.config("nowhere", map[string]string{"mood": "wild"})
	await(w, about, "wild", holds("mood", "wild"))
	w.config("nowhere", map[string]string{"mood": "wilder"})
	await(w, about, "wilder", holds("mood", "wilder"))
}

// TestSecretsStaySecret: whatever goes wrong with a value, nobody gets to read it.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secret("tokens", map[string]string{"token": "canary value: ["})
	w.commit(map[string]string{"apps/a.yaml": configMap("settings", "token: ${token}")})
	w.source()
	w.unit("apps", func(u *kustomizev1.Kustomization) {
		u.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "Secret", Name: "tokens"}}}
	})
	said := condition(w.failed("apps", "BuildFailed", ""), "Ready").Message
	w.told("apps", "")
	// The server, too, repeats what it refuses.
	w.secret("tokens", map[string]string{"token": "canary-two"})
	w.commit(map[string]string{"apps/a.yaml": "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  clusterIP: ${token}\n  ports: [{port: 80}]\n"})
	said += condition(w.failed("apps", "ReconciliationFailed", "dry-run failed"), "Ready").Message
	if all := said + strings.Join(w.events("apps"), "\n"); strings.Contains(all, "canary") {
		t.Errorf("a secret value was told: %s", all)
	}
}

// TestStrictVariables: a variable without a value is a mistake, and better said than delivered as nothing.
func TestStrictVariables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(map[string]string{"apps/a.yaml": configMap("settings", `color: "${color}"`)})
	w.source()
	w.unit("apps", func(u *kustomizev1.Kustomization) {
		u.Spec.PostBuild = &kustomizev1.PostBuild{Substitute: map[string]string{"size": "large"}}
	})
	w.failed("apps", "BuildFailed", "color")
	w.change("apps", func(u *kustomizev1.Kustomization) { u.Spec.PostBuild.Substitute["color"] = "blue" })
	await(w, w.configMap("settings"), "blue", holds("color", "blue"))
}
