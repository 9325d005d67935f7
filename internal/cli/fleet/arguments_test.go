package fleet

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestParseSubject(t *testing.T) {
	cases := map[string]struct {
		why   string
		args  string
		kinds []string
		names []string
		fails bool
	}{
		"Units":      {why: "a role is all of its kinds", args: "units", kinds: []string{"Kustomization", "HelmRelease"}},
		"Unit":       {why: "the singular reads better with a name", args: "unit apps", kinds: []string{"Kustomization", "HelmRelease"}, names: []string{"apps"}},
		"Kind":       {why: "kubectl's short names are known", args: "ks a b", kinds: []string{"Kustomization"}, names: []string{"a", "b"}},
		"Case":       {why: "people type as documents do", args: "GitRepository a", kinds: []string{"GitRepository"}, names: []string{"a"}},
		"Full":       {why: "-o name can be pasted", args: "kustomization.kustomize.toolkit.fluxcd.io/a", kinds: []string{"Kustomization"}, names: []string{"a"}},
		"Narrowed":   {why: "a name may say its kind", args: "source bucket/a", kinds: []string{"Bucket"}, names: []string{"a"}},
		"Flux":       {why: "as Flux's command line has it", args: "source oci app", kinds: []string{"OCIRepository"}, names: []string{"app"}},
		"Elsewhere":  {why: "a unit is no source", args: "source ks/a", fails: true},
		"Contrary":   {why: "one list has one kind when a kind is named", args: "units ks/a hr/b", fails: true},
		"Nothing":    {why: "something has to be named", args: "", fails: true},
		"Unknown":    {why: "other kinds are kubectl's", args: "pods", fails: true},
		"NoName":     {why: "a slash wants a name", args: "ks/", fails: true},
		"NoNameHere": {why: "a slash wants a name", args: "unit ks/", fails: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			parsed, err := ParseSubject(strings.Fields(c.args))
			if (err != nil) != c.fails {
				t.Fatalf("%s: %v", c.why, err)
			}
			var kinds []string
			for _, kind := range parsed.Kinds {
				kinds = append(kinds, kind.Kind)
			}
			if c.fails {
				return
			}
			if diff := cmp.Diff(c.kinds, kinds) + cmp.Diff(c.names, parsed.Names); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func resource(suspend bool, conditions ...metav1.Condition) Resource {
	return Resource{Object: &unstructured.Unstructured{}, Spec: Spec{Suspend: suspend}, Status: Status{Conditions: conditions}}
}

func TestStatusFilter(t *testing.T) {
	ready := resource(false, metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue}, metav1.Condition{Type: "Stalled", Status: metav1.ConditionFalse})
	fresh := resource(true)
	cases := map[string]struct {
		why          string
		text         string
		ready, fresh bool // kept?
		fails        bool
	}{
		"Empty":     {why: "no filter keeps all", ready: true, fresh: true},
		"True":      {why: "a condition's type and status are compared without case", text: "rEADY=TRUE", ready: true},
		"Unknown":   {why: "a condition that is not there is unknown", text: "ready=unknown", fresh: true},
		"Other":     {why: "any condition can be asked for", text: "stalled=false", ready: true},
		"Suspended": {why: "suspension is no condition, and yet wanted", text: "Suspended=true", fresh: true},
		"Both":      {why: "all terms must hold", text: "ready=true, suspended=true"},
		"NoValue":   {why: "a term needs a status", text: "ready", fails: true},
		"NoName":    {why: "a term needs a condition", text: "=true", fails: true},
		"Nonsense":  {why: "no condition ever has this status", text: "ready=no", fails: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			filter, err := ParseStatusFilter(c.text)
			if (err != nil) != c.fails {
				t.Fatalf("%s: %v", c.why, err)
			}
			if c.fails {
				return
			}
			if filter.Keeps(ready) != c.ready || filter.Keeps(fresh) != c.fresh {
				t.Errorf("%s: keeps the ready one: %t, the fresh one: %t", c.why, filter.Keeps(ready), filter.Keeps(fresh))
			}
		})
	}
}

func FuzzArguments(f *testing.F) {
	for _, seed := range []string{"units", "source bucket/a", "ready=true,suspended=false", "/", "="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if parsed, err := ParseSubject(strings.Fields(text)); err == nil && len(parsed.Kinds) == 0 {
			t.Errorf("subject %q has no kinds", text)
		}
		if filter, err := ParseStatusFilter(text); err == nil {
			filter.Keeps(resource(false))
		}
	})
}
