package operator_test

import (
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func dependsOn(names ...string) func(*kustomizev1.Kustomization) {
	return func(u *kustomizev1.Kustomization) {
		for _, name := range names {
			u.Spec.DependsOn = append(u.Spec.DependsOn, kustomizev1.DependencyReference{Name: name})
		}
	}
}

// TestChainWaitsQuietly: in a chain that moves in moments, the wait for those before is not written
// down, neither the first time nor later.
func TestChainWaitsQuietly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revision := w.commit(map[string]string{"a/a.yaml": configMap("a"), "b/b.yaml": configMap("b"), "c/c.yaml": configMap("c")})
	w.source()
	w.unit("a")
	w.unit("b", dependsOn("a"))
	w.unit("c", dependsOn("b"))
	w.ready("c", revision)
	// Commits go on for longer than a wait stays unwritten: one that is over must not count later.
	for began := time.Now(); time.Since(began) < 2*time.Second; {
		note := time.Since(began).String()
		w.daemon.traffic.take(w.namespace)
		committed := time.Now()
		w.ready("c", w.commit(map[string]string{"readme.md": note}))
		if time.Since(committed) > time.Second/2 {
			continue // silence is promised for moments, and this machine is too busy for them
		}
		var about []string
		for _, one := range w.daemon.traffic.take(w.namespace) {
			if strings.Contains(one.Path, "kustomizations") {
				about = append(about, one.String())
			}
		}
		want := []string{"PATCH kustomizations/a/status", "PATCH kustomizations/b/status", "PATCH kustomizations/c/status"}
		if diff := cmp.Diff(want, about); diff != "" {
			t.Errorf("commit %s: status writes (-want +got):\n%s", note, diff)
		}
	}
}

// TestChainMovesInLockstep: a unit follows a commit only when what it depends on has done so.
func TestChainMovesInLockstep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := func(color string) map[string]string {
		return map[string]string{
			"a/a.yaml": configMap("a", "color: "+color), "b/b.yaml": configMap("b", "color: "+color), "c/c.yaml": configMap("c", "color: "+color),
		}
	}
	revision := w.commit(files("blue"))
	w.source()
	w.unit("c", dependsOn("b"))
	w.unit("b", dependsOn("a"))
	w.failed("c", "DependencyNotReady", "dependency '"+w.namespace+"/b' is not ready")
	w.failed("b", "DependencyNotReady", "dependency '"+w.namespace+"/a' not found")
	w.unit("a")
	for _, name := range []string{"a", "b", "c"} {
		w.ready(name, revision)
	}
	w.daemon.traffic.take(w.namespace)
	revision = w.commit(files("red"))
	w.ready("c", revision)
	var order []string
	for _, one := range w.daemon.traffic.take(w.namespace) {
		if one.writes() && len(one.Path) == len("configmaps/a") && one.Path[:11] == "configmaps/" {
			order = append(order, one.Path[11:])
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, order); diff != "" {
		t.Errorf("order of writes (-want +got):\n%s", diff)
	}

	// A broken one stops those behind it, and nobody else.
	w.commit(map[string]string{"b/b.yaml": "kind: [\n", "c/c.yaml": configMap("c", "color: green"), "a/a.yaml": configMap("a", "color: green")})
	await(w, w.configMap("a"), "green", holds("color", "green"))
	w.failed("b", "BuildFailed", "b/b.yaml")
	w.failed("c", "DependencyNotReady", "dependency '"+w.namespace+"/b' is not ready")
	if !holds("color", "red")(read(w, w.configMap("c"))) {
		t.Error("a unit moved on past a broken dependency")
	}
	// What a waiting unit applied is still held.
	w.edit(w.configMap("c"), set("color", "black"))
	await(w, w.configMap("c"), "red again", holds("color", "red"))
	w.ready("c", w.commit(map[string]string{"b/b.yaml": configMap("b", "color: green")}))
}

// TestCycleIsNamed: units in a cycle would wait for ever, and "not ready" tells nobody why.
func TestCycleIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revision := w.commit(map[string]string{"a/a.yaml": configMap("a"), "b/b.yaml": configMap("b"), "c/c.yaml": configMap("c"), "d/d.yaml": configMap("d")})
	w.source()
	w.unit("a", dependsOn("c"))
	w.unit("b", dependsOn("a"))
	w.unit("c", dependsOn("b"))
	w.unit("d", dependsOn("d"))
	n := w.namespace + "/"
	u := w.failed("a", "DependencyNotReady", "dependency cycle: "+n+"a → "+n+"c → "+n+"b → "+n+"a; remove one of these dependsOn entries")
	if condition(u, meta.StalledCondition).Status != metav1.ConditionTrue {
		t.Errorf("only a person can help, and it does not say so:\n%s", describe(u))
	}
	w.failed("d", "DependencyNotReady", "dependency cycle: "+n+"d → "+n+"d; remove")
	w.change("b", func(u *kustomizev1.Kustomization) { u.Spec.DependsOn = nil })
	for _, name := range []string{"b", "c", "a"} {
		w.ready(name, revision)
	}
}

// TestReadyExpr: a unit may have its own idea of when a dependency is ready.
func TestReadyExpr(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revision := w.commit(map[string]string{"a/a.yaml": configMap("a"), "b/b.yaml": configMap("b"), "c/c.yaml": configMap("c")})
	w.source()
	w.unit("a")
	w.unit("b", func(u *kustomizev1.Kustomization) {
		u.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "a", ReadyExpr: "dep.metadata.?labels.open.orValue('') == self.metadata.name"}}
	})
	w.unit("c", func(u *kustomizev1.Kustomization) {
		u.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "a", ReadyExpr: "dep.metadata.("}}
	})
	w.ready("a", revision)
	w.failed("b", "DependencyNotReady", "dependency '"+w.namespace+"/a' is not ready according to readyExpr eval")
	stalled := w.failed("c", "InvalidCELExpression", "readyExpr")
	if condition(stalled, meta.StalledCondition).Status != metav1.ConditionTrue {
		t.Errorf("only a person can help, and it does not say so:\n%s", describe(stalled))
	}
	w.change("a", func(u *kustomizev1.Kustomization) { u.Labels = map[string]string{"open": "b"} })
	w.ready("b", revision)
}
