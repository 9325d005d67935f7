package schema_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/schema"
)

func objects(t testing.TB, text string) []object.Object {
	t.Helper()
	var list []object.Object
	for _, one := range strings.Split(text, "\n---\n") {
		u := &unstructured.Unstructured{}
		raw, err := yaml.YAMLToJSON([]byte(one))
		if err != nil {
			t.Fatal(err)
		}
		if err := u.UnmarshalJSON(raw); err != nil {
			t.Fatal(err)
		}
		made, err := object.New(u, "")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, made)
	}
	return list
}

func judge(t testing.TB) *schema.Judge {
	t.Helper()
	made, err := schema.New(schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func judged(t testing.TB, one *schema.Judge, text string) []string {
	t.Helper()
	found, err := check.Findings(context.Background(), check.Set{Objects: objects(t, text), Kinds: one}, one)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, one := range found {
		lines = append(lines, one.String())
	}
	return lines
}

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: web, labels: {app: shop}}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
        - name: web
          image: nginx:1
          resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 1}}
          ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]
          livenessProbe: {httpGet: {port: http, path: /}}`

const planets = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: planets.example.org}
spec:
  group: example.org
  scope: Cluster
  names: {kind: Planet, plural: planets}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            spec:
              type: object
              required: [radius, kind]
              x-kubernetes-validations:
                - rule: "self.radius > self.core"
                  message: the core must be smaller than the planet
              properties:
                radius: {type: integer, minimum: 1, maximum: 100}
                core: {type: integer, default: 0}
                kind: {type: string, enum: [rock, gas], default: rock}
                port: {x-kubernetes-int-or-string: true}
                name: {type: string, pattern: "^[a-z]+$", maxLength: 5}
                any: {type: object, x-kubernetes-preserve-unknown-fields: true}
                moons:
                  type: array
                  maxItems: 3
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [name]
                  items:
                    type: object
                    required: [name]
                    properties:
                      name: {type: string}
                tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}`

func planet(spec string) string {
	return planets + "\n---\napiVersion: example.org/v1\nkind: Planet\nmetadata: {name: earth}\nspec: " + spec
}

func TestJudge(t *testing.T) {
	change := func(old, new string) string {
		if !strings.Contains(deployment, old) {
			t.Fatalf("no %s", old)
		}
		return strings.Replace(deployment, old, new, 1)
	}
	const at = "Deployment/web/shop "
	cases := map[string]struct {
		why  string
		in   string
		want []string
	}{
		"Fine":      {why: "what is right is not found fault with", in: deployment},
		"Type":      {why: "a number in quotes", in: change("replicas: 2", `replicas: "2"`), want: []string{at + "spec.replicas: wants an integer, not a string [schema/type]; take the quotes off"}},
		"Unknown":   {why: "a field that is meant otherwise", in: change("replicas:", "replica:"), want: []string{at + "spec.replica: the kind has no such field [schema/unknown-field]; did you mean replicas?"}},
		"Deep":      {why: "and one far below", in: change("image: nginx:1", "image: nginx:1\n          volumeMount: []"), want: []string{at + "spec.template.spec.containers[0].volumeMount: the kind has no such field [schema/unknown-field]; did you mean volumeMounts?"}},
		"Required":  {why: "what must be there", in: change("selector: {matchLabels: {app: shop}}", "paused: true"), want: []string{at + "spec.selector: is missing [schema/required]; add it"}},
		"Quantity":  {why: "an amount that is none", in: change("100m", "100 cores"), want: []string{at + "spec.template.spec.containers[0].resources.requests.cpu: is no quantity [schema/value]; write a number with a unit, as 100m or 128Mi"}},
		"Twice":     {why: "two items with the same keys, of which one has a default", in: change("protocol: UDP", "protocol: TCP"), want: nil},
		"TwiceSame": {why: "two items with the same keys", in: change("[{containerPort: 80}, {containerPort: 80, protocol: UDP}]", "[{containerPort: 80, name: a}, {containerPort: 80, name: b}]"), want: []string{at + "spec.template.spec.containers[0].ports[1]: has the same containerPort and protocol as item 0 [schema/twice]; take one of them away"}},
		"Enum":      {why: "a word that is none of those there are", in: change("image: nginx:1", "image: nginx:1\n          imagePullPolicy: Sometimes"), want: []string{at + "spec.template.spec.containers[0].imagePullPolicy: must be one of Always, IfNotPresent, Never [schema/value]"}},
		"List":      {why: "a thing where several are wanted", in: change("ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]", "ports: {containerPort: 80}"), want: []string{at + "spec.template.spec.containers[0].ports: wants a list, not an object [schema/type]; begin each item with a dash"}},
		"Name":      {why: "a name that no server takes", in: change("name: shop,", "name: Shop_1,"), want: []string{`Deployment/web/Shop_1 metadata.name: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character [schema/metadata]`}},
		"Label":     {why: "a label that no server takes", in: change("labels: {app: shop}", `labels: {"a b": shop}`), want: []string{at + "metadata.labels.a b: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character [schema/metadata]"}},
		"Custom":    {why: "a kind of the same set", in: planet("{radius: 3, port: http, moons: [{name: a}], any: {x: 1}}")},
		"CustomTypes": {why: "with its own fields", in: planet(`{radius: 300, name: EARTHS, kind: ice, colour: blue, tags: [a, a], moons: [{name: a}, {name: a}]}`), want: []string{
			"Planet/earth spec.colour: the kind has no such field [schema/unknown-field]; take it away, or look whether it belongs elsewhere",
			"Planet/earth spec.kind: must be one of rock, gas [schema/value]",
			"Planet/earth spec.moons[1]: has the same name as item 0 [schema/twice]; take one of them away",
			"Planet/earth spec.name: does not match ^[a-z]+$ [schema/value]",
			"Planet/earth spec.name: has 6 characters; at most 5 are allowed [schema/value]",
			"Planet/earth spec.radius: is too large: it must be at most 100 [schema/value]",
			"Planet/earth spec.tags[1]: is the same as item 0 [schema/twice]; take one of them away",
		}},
		"CustomRule": {why: "and its own rules", in: planet("{radius: 3, core: 4}"), want: []string{"Planet/earth spec: the core must be smaller than the planet [schema/rule]"}},
		"Default":    {why: "which see defaults", in: planet("{radius: 1}")},
		"Definition": {why: "a definition that no server takes", in: strings.Replace(planets, "self.core", "self.weight", 1), want: []string{
			"CustomResourceDefinition/planets.example.org spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: compilation failed: ERROR: <input>:1:19: undefined field 'weight'  | self.radius > self.weight  | ..................^ [schema/definition]",
		}},
		"Status":       {why: "what tools leave in a built-in kind's status goes nowhere", in: planets + "\nstatus: {acceptedNames: {}, storedVersions: []}"},
		"CustomStatus": {why: "other kinds may have none", in: planet("{radius: 3}\nstatus: {seen: 1}"), want: []string{"Planet/earth status: the kind has no such field [schema/unknown-field]; take it away, or look whether it belongs elsewhere"}},
		"NotEvaluated": {why: "what has no schema is said", in: "apiVersion: example.org/v1\nkind: Star\nmetadata: {name: sun}", want: []string{"info: objects of example.org/v1 Star are not judged, since no schema of theirs is known [schema/not-evaluated]; put the kind's definition into the tree, or check with --server"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.want == nil {
				tc.want = []string{}
			}
			if diff := cmp.Diff(tc.want, judged(t, judge(t), tc.in)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}

func TestDropped(t *testing.T) {
	set := objects(t, deployment)
	set[0].Dropped = []string{"spec.template.spec.containers[0].comand", "spec.paused", "metadata.nam"}
	one := judge(t)
	found, err := check.Findings(t.Context(), check.Set{Objects: set, Kinds: one}, one)
	if err != nil {
		t.Fatal(err)
	}
	want := "Deployment/web/shop metadata.nam: the kind has no such field [schema/unknown-field]; did you mean name?\n" +
		"Deployment/web/shop spec.template.spec.containers[0].comand: the kind has no such field [schema/unknown-field]; did you mean command?"
	if got := finding.Lines(found); got != want {
		t.Errorf("what a normal form leaves out without loss is no mistake:\n%s", got)
	}
}

func BenchmarkJudge(b *testing.B) {
	one, set := judge(b), objects(b, deployment)
	look := func(unit string) {
		if found, err := one.Judge(context.Background(), check.Set{Unit: object.Owner{Name: unit}, Objects: set, Kinds: one}); err != nil || len(found) > 0 {
			b.Fatal(found, err)
		}
	}
	look("warm")
	b.Run("Changed", func(b *testing.B) {
		for b.Loop() {
			set[0].Digest[0]++
			look("warm")
		}
	})
	b.Run("Unchanged", func(b *testing.B) {
		for b.Loop() {
			look("warm")
		}
	})
}

func FuzzJudge(f *testing.F) {
	raw, err := yaml.YAMLToJSON([]byte(deployment))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"apiVersion":"example.org/v1","kind":"Planet","metadata":{"name":"a"},"spec":{"moons":[{"name":null}],"radius":1e400}}`))
	f.Add([]byte(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"a"},"spec":{"versions":[{"schema":{"openAPIV3Schema":{"$ref":"#"}}}]}}`))
	one := judge(f)
	known := objects(f, planets)
	f.Fuzz(func(t *testing.T, raw []byte) {
		u := &unstructured.Unstructured{}
		if json.Unmarshal(raw, &u.Object) != nil {
			return
		}
		made, err := object.New(u, "")
		if err != nil {
			return
		}
		if _, err := one.Judge(t.Context(), check.Set{Objects: append([]object.Object{made}, known...), Kinds: one}); err != nil {
			t.Fatal(err)
		}
	})
}
