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
		"NoNamespace": {why: "there is no default: the file is named", in: []string{bare}, wantErr: "ConfigMap/a namespace not specified (file.yaml)"},
		"Cluster":     {why: "a namespace that a transformer gave is no part of the identity", in: []string{role}, want: []string{"ClusterRole/r"}, wantComplete: true},
		"Unknown":     {why: "a definition may come from another unit", in: []string{planet}, want: []string{"Planet/web/p"}},
		"Defined":     {why: "the set itself tells the scope", in: []string{planets, planet}, want: []string{"CustomResourceDefinition/planets.example.org", "Planet/p"}, wantComplete: true, wantDefinesIt: true},
		"Twice":       {why: "two wishes for one object", in: []string{config, config}, wantErr: "ConfigMap/web/a the same object is there twice (file.yaml)"},
		"TwiceBare":   {why: "which may only show without the namespace", in: []string{role, role}, wantErr: "ClusterRole/r the same object is there twice (file.yaml)"},
		"All":         {why: "all findings at once, sorted", in: []string{role, bare, role}, wantErr: "ClusterRole/r the same object is there twice (file.yaml)\nConfigMap/a namespace not specified (file.yaml)"},
		"Trouble":     {why: "a cluster that does not answer is no finding", in: []string{trouble}, wantErr: "mapping Trouble/p: no connection"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			passed, err := check.Run(context.Background(), served(cluster), objects(t, tc.in...))
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
	whole, err := check.Run(context.Background(), served(cluster), objects(t, planets, planet, config))
	if err != nil {
		t.Fatal(err)
	}
	part := whole.Only(func(one object.Object) bool { return one.Kind != "Planet" })
	if len(part.Objects()) != 2 || len(whole.Objects()) != 3 || !part.Defines(object.Ref{Group: "example.org", Kind: "Planet"}) {
		t.Errorf("part has %d objects, the whole %d", len(part.Objects()), len(whole.Objects()))
	}
}
