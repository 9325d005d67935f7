package danger_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/danger"
)

func made(t *testing.T, text string) object.Object {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	one, err := object.New(u, "")
	if err != nil {
		t.Fatal(err)
	}
	return one
}

func TestShare(t *testing.T) {
	cases := map[string]struct {
		why          string
		owned, keeps int
		allowed      string
		want         bool
	}{
		"Few":     {why: "small units change as a whole", owned: 10, keeps: 0},
		"Part":    {why: "half of a unit may go", owned: 40, keeps: 20},
		"Most":    {why: "more than half may not", owned: 40, keeps: 19, want: true},
		"All":     {why: "unless the author says so", owned: 40, keeps: 0, allowed: "all"},
		"Share":   {why: "or names a share", owned: 40, keeps: 10, allowed: "75%"},
		"TooFar":  {why: "which is held to", owned: 40, keeps: 0, allowed: "75%", want: true},
		"Nothing": {why: "what stays is no matter", owned: 40, keeps: 40},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			set := check.Set{Unit: object.Owner{Namespace: "a", Name: "b"}, Prune: true, Allowed: tc.allowed}
			for i := range tc.owned {
				ref := object.Ref{Version: "v1", Kind: "ConfigMap", Namespace: "a", Name: fmt.Sprint("c", i)}
				set.Owned = append(set.Owned, ref)
				if i < tc.keeps {
					set.Objects = append(set.Objects, object.Object{Ref: ref})
				}
			}
			found, err := danger.Judge{}.Judge(t.Context(), set)
			if err != nil || (len(found) > 0) != tc.want {
				t.Errorf("%s: %s %v", tc.why, finding.Lines(found), err)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	const binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a, namespace: b}\nroleRef: {kind: Role, name: old}\n"
	const unit = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: a, namespace: b}\nspec: {suspend: false}\n"
	cases := map[string]struct {
		why, before, after string
		force              bool
		want               string
	}{
		"Same":      {why: "what does not change is safe", before: binding, after: binding},
		"Immutable": {why: "a field that no server changes", before: binding, after: strings.Replace(binding, "old", "new", 1), want: "RoleBinding/b/a roleRef: cannot change in an object that is there [danger/recreate]"},
		"Forced":    {why: "is a warning with force", before: binding, after: strings.Replace(binding, "old", "new", 1), force: true, want: "warning: RoleBinding/b/a roleRef: cannot change: the object is deleted and made anew [danger/recreate]"},
		"Suspended": {why: "what is looked after no more", before: unit, after: strings.Replace(unit, "false", "true", 1), want: "warning: Kustomization/b/a spec.suspend: is suspended from now on [danger/suspend]"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before := made(t, tc.before)
			found, err := danger.Judge{}.Judge(t.Context(), check.Set{
				Objects: []object.Object{made(t, tc.after)}, Force: tc.force,
				Before: func(context.Context) ([]object.Object, error) { return []object.Object{before}, nil },
			})
			if got := finding.Lines(found); !strings.HasPrefix(got, tc.want) || (got == "") != (tc.want == "") || err != nil {
				t.Errorf("%s: %q %v", tc.why, got, err)
			}
		})
	}
}
