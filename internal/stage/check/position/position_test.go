package position_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check/position"
)

const manifests = `# two objects
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  annotations:
    example.org/a.b: x
spec:
  replicas: "3"
  template:
    spec:
      containers:
        - name: web
          image: nginx
        - name: side
          image: busybox
          ports:
            - containerPort: 80
---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Service
    metadata: {name: shop, namespace: a}
  - apiVersion: v1
    kind: Service
    metadata: {name: shop, namespace: b}
---
kind: ConfigMap
metadata:
  name: settings
data: &shared {color: red}
`

func TestLine(t *testing.T) {
	file := position.Parse([]byte(manifests))
	cases := map[string]struct {
		why            string
		kind, ns, name string
		path           string
		want           int
	}{
		"Object":    {why: "an object begins at its first field", kind: "Deployment", name: "shop", want: 2},
		"Field":     {why: "a field by its path", kind: "Deployment", name: "shop", path: "spec.replicas", want: 9},
		"Item":      {why: "an item by its index", kind: "Deployment", name: "shop", path: "spec.template.spec.containers[1].image", want: 16},
		"Named":     {why: "or by its name", kind: "Deployment", name: "shop", path: "spec.template.spec.containers[side].ports[0].containerPort", want: 18},
		"Key":       {why: "a key may have dots", kind: "Deployment", name: "shop", path: "metadata.annotations[example.org/a.b]", want: 7},
		"Absent":    {why: "the nearest that is there", kind: "Deployment", name: "shop", path: "spec.template.spec.volumes[0].name", want: 11},
		"Namespace": {why: "namespaces tell items of a list apart", kind: "Service", ns: "b", name: "shop", want: 26},
		"Prefixed":  {why: "names get prefixes", kind: "ConfigMap", ns: "x", name: "dev-settings-4f5g", path: "data.color", want: 33},
		"Unknown":   {why: "what is not there has no line", kind: "Secret", name: "shop", want: 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ref := object.Ref{Kind: tc.kind, Namespace: tc.ns, Name: tc.name}
			if got := file.Line(ref, tc.path); got != tc.want {
				t.Errorf("%s: line %d, want %d", tc.why, got, tc.want)
			}
		})
	}
}

func TestSteps(t *testing.T) {
	cases := map[string][]string{
		"":                                 nil,
		"spec":                             {"spec"},
		"spec.ports[0].name":               {"spec", "ports", "0", "name"},
		"metadata.labels[example.org/a].b": {"metadata", "labels", "example.org/a", "b"},
		"a[b":                              {"a", "b"},
		".a..b[0][1]":                      {"a", "b", "0", "1"},
	}
	for path, want := range cases {
		if diff := cmp.Diff(want, position.Steps(path)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", path, diff)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add(manifests, "Deployment", "shop", "spec.template.spec.containers[1].image")
	f.Add("a: &a [*a]\nkind: A\nmetadata: {name: b}", "A", "b", "a[0][0][0]")
	f.Add(strings.Repeat("[", 20000), "A", "b", "x")
	f.Fuzz(func(t *testing.T, content, kind, name, path string) {
		line := position.Parse([]byte(content)).Line(object.Ref{Kind: kind, Name: name}, path)
		if line < 0 || line > strings.Count(content, "\n")+strings.Count(content, "\r")+strings.Count(content, "\u2028")+strings.Count(content, "\u2029")+strings.Count(content, "\u0085")+1 {
			t.Errorf("line %d of %d", line, strings.Count(content, "\n")+1)
		}
	})
}
