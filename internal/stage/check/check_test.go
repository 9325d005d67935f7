package check_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
)

// served answers for a cluster that knows a few kinds.
type served func(object.Ref) (kube.Mapping, error)

func (s served) Map(_ context.Context, ref object.Ref) (kube.Mapping, error) { return s(ref) }

func cluster(ref object.Ref) (kube.Mapping, error) {
	switch ref.Kind {
	case "ConfigMap":
		return kube.Mapping{Namespaced: true}, nil
	case "ClusterRole", "CustomResourceDefinition":
		return kube.Mapping{}, nil
	case "Trouble":
		return kube.Mapping{}, errors.New("no connection")
	default:
		return kube.Mapping{}, &meta.NoKindMatchError{GroupKind: ref.GVK().GroupKind()}
	}
}

func objects(t *testing.T, manifests ...string) []object.Object {
	t.Helper()
	var list []object.Object
	for _, text := range manifests {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		one, err := object.New(u, "file.yaml")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	return list
}

const (
	config  = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: web}}"
	bare    = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"
	role    = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: r, namespace: web}}"
	planet  = "{apiVersion: example.org/v1, kind: Planet, metadata: {name: p, namespace: web}}"
	trouble = "{apiVersion: example.org/v1, kind: Trouble, metadata: {name: p}}"
	planets = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: planets.example.org}, spec: {group: example.org, scope: Cluster, names: {kind: Planet}}}"
)

const (
	noNamespace = "ConfigMap/a namespace not specified (file.yaml) [set/namespace]; set metadata.namespace, or the unit's targetNamespace"
	twice       = "the same object is there twice (file.yaml) [set/duplicate]; take one of them away"
)

func setOf(objects []object.Object) check.Set {
	return check.Set{Unit: object.Owner{Namespace: "flux-system", Name: "apps"}, Objects: objects, Kinds: served(cluster)}
}

func TestRun(t *testing.T) {
	cases := map[string]struct {
		why           string
		in            []string
		want          []string
		wantErr       string
		wantComplete  bool
		wantDefinesIt bool // the kind Planet
	}{
		"Fine":        {why: "an object with its namespace", in: []string{config}, want: []string{"ConfigMap/web/a"}, wantComplete: true},
		"NoNamespace": {why: "there is no default: the file is named", in: []string{bare}, wantErr: noNamespace},
		"Cluster":     {why: "a namespace that a transformer gave is no part of the identity", in: []string{role}, want: []string{"ClusterRole/r"}, wantComplete: true},
		"Unknown":     {why: "a definition may come from another unit", in: []string{planet}, want: []string{"Planet/web/p"}},
		"Defined":     {why: "the set itself tells the scope", in: []string{planets, planet}, want: []string{"CustomResourceDefinition/planets.example.org", "Planet/p"}, wantComplete: true, wantDefinesIt: true},
		"Twice":       {why: "two wishes for one object", in: []string{config, config}, wantErr: "ConfigMap/web/a " + twice},
		"TwiceBare":   {why: "which may only show without the namespace", in: []string{role, role}, wantErr: "ClusterRole/r " + twice},
		"All":         {why: "all findings at once, sorted", in: []string{role, bare, role}, wantErr: noNamespace + "\nClusterRole/r " + twice},
		"Trouble":     {why: "a cluster that does not answer is no finding", in: []string{trouble}, wantErr: "mapping Trouble/p: no connection"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			passed, err := check.Run(context.Background(), setOf(objects(t, tc.in...)))
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Fatalf("%s: %v", tc.why, err)
				}
				if len(passed.Objects()) > 0 {
					t.Error("something passed all the same")
				}
				return
			}
			var got []string
			for _, one := range passed.Objects() {
				got = append(got, one.Ref.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%s (-want +got):\n%s%v", tc.why, diff, err)
			}
			if passed.Complete() != tc.wantComplete || passed.Defines(object.Ref{Group: "example.org", Kind: "Planet"}) != tc.wantDefinesIt {
				t.Errorf("%s: complete %v", tc.why, passed.Complete())
			}
		})
	}
}

func TestOnly(t *testing.T) {
	whole, err := check.Run(context.Background(), setOf(objects(t, planets, planet, config)))
	if err != nil {
		t.Fatal(err)
	}
	part := whole.Only(func(one object.Object) bool { return one.Kind != "Planet" })
	if len(part.Objects()) != 2 || len(whole.Objects()) != 3 || !part.Defines(object.Ref{Group: "example.org", Kind: "Planet"}) {
		t.Errorf("part has %d objects, the whole %d", len(part.Objects()), len(whole.Objects()))
	}
}

// says is a judge that has the same to say of each object.
func says(severity finding.Severity, path string) check.Judge {
	return check.JudgeFunc(func(_ context.Context, set check.Set) ([]finding.Finding, error) {
		var found []finding.Finding
		for _, one := range set.Objects {
			found = append(found, finding.Finding{Rule: "test/" + string(severity), Severity: severity, Ref: one.Ref, Path: path, Message: "is odd"})
		}
		return found, nil
	})
}

func TestJudges(t *testing.T) {
	set := setOf(objects(t, config, role))
	set.Read = func(name string) ([]byte, error) { return []byte("# first\n" + config + "\n---\n" + role), nil }
	passed, err := check.Run(t.Context(), set, says(finding.Warning, ""), says(finding.Info, "metadata.name"))
	if err != nil || len(passed.Objects()) != 2 || len(passed.Told()) != 4 {
		t.Fatalf("what is no error refuses nothing: %v %v", passed.Told(), err)
	}
	if last := passed.Told()[3].String(); last != "info: ClusterRole/r metadata.name: is odd (file.yaml:4) [test/info]" {
		t.Errorf("findings get their lines: %s", last)
	}

	_, err = check.Run(t.Context(), set, says(finding.Warning, ""), says(finding.Error, ""))
	var refused *finding.Refused
	if !errors.As(err, &refused) || len(refused.Findings) != 4 || fault.ReasonOf(err, "") != "ReconciliationFailed" {
		t.Fatalf("an error refuses the set, and all that was found is told: %v", err)
	}

	broken := check.JudgeFunc(func(context.Context, check.Set) ([]finding.Finding, error) { return nil, errors.New("no connection") })
	if _, err := check.Run(t.Context(), set, says(finding.Error, ""), broken); err == nil || err.Error() != "no connection" {
		t.Errorf("who cannot look neither passes nor refuses: %v", err)
	}
	if passed, err := check.Again(t.Context(), served(cluster), objects(t, config)); err != nil || len(passed.Objects()) != 1 {
		t.Errorf("what has passed passes again: %v", err)
	}
}

func TestDoomed(t *testing.T) {
	set := setOf(objects(t, config))
	gone := object.Ref{Version: "v1", Kind: "ConfigMap", Namespace: "web", Name: "gone"}
	moved := object.Ref{Version: "v1", Kind: "ConfigMap", Namespace: "web", Name: "moved"}
	set.Owned = []object.Ref{set.Objects[0].Ref, gone, moved}
	if got := set.Doomed(t.Context()); got != nil {
		t.Errorf("nothing is deleted where nothing is pruned: %v", got)
	}
	set.Prune = true
	set.Heirs = func(_ context.Context, given []object.Ref) []object.Ref { return given[:1] }
	if diff := cmp.Diff([]object.Ref{gone}, set.Doomed(t.Context())); diff != "" {
		t.Errorf("what others take over is not deleted (-want +got):\n%s", diff)
	}
}
