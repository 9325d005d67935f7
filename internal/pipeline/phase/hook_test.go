package phase_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/pipeline/phase"
)

func made(t testing.TB, kind, name string, annotations map[string]any) object.Object {
	t.Helper()
	one, err := object.New(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": "n", "annotations": annotations},
	}}, "")
	if err != nil {
		t.Fatal(err)
	}
	return one
}

func TestOf(t *testing.T) {
	cases := map[string]struct {
		why         string
		kind        string
		annotations map[string]any
		want        phase.Hook
		none        bool
	}{
		"None":     {why: "an object without the mark is kept in the cluster", kind: "Job", none: true},
		"Default":  {why: "what a former run left would stop the next one", kind: "Job", annotations: map[string]any{"helm.sh/hook": "pre-install"}, want: phase.Hook{Moments: []phase.Moment{phase.PreInstall}, Before: true}},
		"Several":  {why: "a list, with spaces and in any case", kind: "Job", annotations: map[string]any{"helm.sh/hook": "pre-install, Post-Upgrade", "helm.sh/hook-weight": "-5"}, want: phase.Hook{Moments: []phase.Moment{phase.PreInstall, phase.PostUpgrade}, Weight: -5, Before: true}},
		"Policies": {why: "what is said counts, and nothing else", kind: "Job", annotations: map[string]any{"helm.sh/hook": "test", "helm.sh/hook-delete-policy": "hook-succeeded,hook-failed"}, want: phase.Hook{Moments: []phase.Moment{phase.Test}, Succeeded: true, Failed: true}},
		"OldTest":  {why: "charts of Helm 2 have this word", kind: "Pod", annotations: map[string]any{"helm.sh/hook": "test-success"}, want: phase.Hook{Moments: []phase.Moment{phase.Test}, Before: true}},
		"Kind":     {why: "deleting a definition deletes all objects of the kind", kind: "CustomResourceDefinition", annotations: map[string]any{"helm.sh/hook": "pre-install", "helm.sh/hook-delete-policy": "hook-succeeded"}, want: phase.Hook{Moments: []phase.Moment{phase.PreInstall}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			one := made(t, tc.kind, "a", tc.annotations)
			got, found := phase.Of(one)
			if found == tc.none {
				t.Fatalf("%s: found %v", tc.why, found)
			}
			got.Object = object.Object{}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}

func TestAt(t *testing.T) {
	mark := func(moments, weight string) map[string]any {
		return map[string]any{"helm.sh/hook": moments, "helm.sh/hook-weight": weight}
	}
	objects := []object.Object{
		made(t, "Job", "late", mark("pre-install", "5")),
		made(t, "Job", "b", mark("pre-install", "")),
		made(t, "Job", "other", mark("pre-upgrade", "-9")),
		made(t, "Job", "a", mark("pre-install,pre-upgrade", "0")),
		made(t, "Job", "first", mark("pre-install", "-1")),
		made(t, "Job", "plain", nil),
	}
	var names []string
	for _, hook := range phase.At(phase.PreInstall, objects) {
		names = append(names, hook.Name)
	}
	if diff := cmp.Diff([]string{"first", "a", "b", "late"}, names); diff != "" {
		t.Errorf("hooks run by weight, then by name (-want +got):\n%s", diff)
	}
}

func FuzzOf(f *testing.F) {
	f.Add("pre-install", "1", "hook-failed")
	f.Fuzz(func(t *testing.T, moments, weight, policy string) {
		hook, found := phase.Of(made(t, "Job", "a", map[string]any{
			"helm.sh/hook": moments, "helm.sh/hook-weight": weight, "helm.sh/hook-delete-policy": policy,
		}))
		if !found {
			t.Fatal("the mark is there")
		}
		if !hook.Before && !hook.Succeeded && !hook.Failed {
			t.Error("a hook without a policy is deleted before it runs again")
		}
	})
}
