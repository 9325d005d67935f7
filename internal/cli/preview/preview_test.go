package preview

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render"
)

// names makes a tree that has files of these names and nothing in them.
func names(paths ...string) *tree.Index {
	entries := make([]tree.Entry, len(paths))
	for i, path := range paths {
		entries[i].Path = path
	}
	return tree.NewIndex(entries)
}

func TestStart(t *testing.T) {
	cases := map[string]struct {
		why, environment string
		index            *tree.Index
		want             string
		wantErr          string
	}{
		"Named":   {why: "an environment is a folder in clusters", environment: "dev", index: names("clusters/dev/a.yaml", "clusters/prod/a.yaml"), want: "clusters/dev"},
		"Local":   {why: "a person's own environment is meant where none is named", index: names("clusters/local/a.yaml", "clusters/dev/a.yaml"), want: "clusters/local"},
		"Only":    {why: "a single environment need not be named", index: names("clusters/dev/a.yaml", "clusters/README.md"), want: "clusters/dev"},
		"Whole":   {why: "a tree without environments is built whole", index: names("a.yaml"), want: ""},
		"Several": {why: "nobody guesses between production and tests", index: names("clusters/prod/a.yaml", "clusters/dev/a.yaml"), wantErr: "the tree has several environments: dev, prod"},
		"Unknown": {why: "a typing error is told", environment: "prd", index: names("clusters/prod/a.yaml"), wantErr: `there is no environment "prd"; there are prod`},
		"Climb":   {why: "a name is no path", environment: "../secrets", index: names("secrets/a.yaml", "clusters/a/a.yaml"), wantErr: `there is no environment "../secrets"; there are a`},
		"File":    {why: "a file is no environment", environment: "README.md", index: names("clusters/README.md"), wantErr: `there is no environment "README.md": the tree has no folder "clusters"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Start(c.index, c.environment)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if got != c.want || text != c.wantErr {
				t.Errorf("%s: got %q, %v", c.why, got, err)
			}
		})
	}
}

func unit(name, source, path string) *kustomizev1.Kustomization {
	one := &kustomizev1.Kustomization{}
	one.Name, one.Namespace = name, "flux-system"
	one.Spec.SourceRef = kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: source}
	one.Spec.Path = path
	return one
}

func TestHomeOf(t *testing.T) {
	cases := map[string]struct {
		why   string
		found []*kustomizev1.Kustomization
		want  string
	}{
		"Self":      {"who delivers the start path is fed from this very tree", []*kustomizev1.Kustomization{unit("a", "x", "./b"), unit("b", "x", "./c"), unit("c", "own", "./clusters/dev/")}, "own"},
		"Bootstrap": {"the name that Flux gives", []*kustomizev1.Kustomization{unit("a", "x", "a"), unit("b", "x", "b"), unit("c", "flux-system", "c")}, "flux-system"},
		"Most":      {"most units come from the tree that names them", []*kustomizev1.Kustomization{unit("a", "x", "a"), unit("b", "y", "b"), unit("c", "y", "c")}, "y"},
		"Tie":       {"the result does not depend on chance", []*kustomizev1.Kustomization{unit("b", "y", "b"), unit("a", "x", "a")}, "x"},
		"None":      {"without units the question does not arise", nil, "flux-system"},
	}
	for name, c := range cases {
		if got := homeOf(c.found, "clusters/dev"); got.Name != c.want {
			t.Errorf("%s: got %s: %s", name, got, c.why)
		}
	}
}

// fixed renders each path as what it says, "!text" as an error, with plain substitution.
type fixed map[string]string

func (f fixed) Render(_ context.Context, input render.Input) (render.Output, error) {
	text := f[input.Path]
	if message, bad := strings.CutPrefix(text, "!"); bad {
		return render.Output{}, errors.New(message)
	}
	for name, value := range input.Variables.Values {
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	if input.Variables.Enabled && strings.Contains(text, "${") {
		return render.Output{}, errors.New("unset variable")
	}
	var output render.Output
	for document := range strings.SplitSeq(text, "---\n") {
		raw, err := yaml.YAMLToJSON([]byte(document))
		if err != nil {
			return render.Output{}, err
		}
		o, err := objectOf(raw)
		if err != nil {
			return render.Output{}, err
		}
		output.Objects = append(output.Objects, o)
	}
	return output, nil
}

func child(name, extra string) string {
	return fmt.Sprintf("{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: %s, namespace: flux-system},"+
		" spec: {path: %s, sourceRef: {kind: GitRepository, name: flux-system}%s}}\n", name, name, extra)
}

func TestBuild(t *testing.T) {
	config := "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: flux-system}, data: {%s: %s}}\n"
	from := func(name string) string {
		return ", postBuild: {substituteFrom: [{kind: ConfigMap, name: " + name + "}]}"
	}
	cases := map[string]struct {
		why      string
		files    fixed
		units    string
		findings string
	}{
		"Order": {
			why: "a unit comes after those that it depends on and those that deliver its variables",
			files: fixed{
				"root": child("a", ", dependsOn: [{name: c}]") + "---\n" + child("b", from("late")) + "---\n" + child("c", ""),
				"a":    fmt.Sprintf(config, "late", "X", "value"), "b": fmt.Sprintf(config, "x", "a", "${X}"), "c": fmt.Sprintf(config, "c", "a", "b"),
			},
			units: "flux-system c a b",
		},
		"TwoLevels": {
			why: "a parent substitutes inside of what its child reads",
			files: fixed{
				"root":   child("vars", "") + "---\n" + child("parent", from("settings")),
				"vars":   fmt.Sprintf(config, "settings", "ENV", "dev"),
				"parent": child("child", ", postBuild: {substitute: {WHERE: \"${ENV}\"}}"),
				"child":  fmt.Sprintf(config, "x", "a", "${WHERE}"),
			},
			units: "flux-system vars parent child",
		},
		"Remote": {
			why:   "what a unit delivers to another cluster is not followed here",
			files: fixed{"root": child("a", ", kubeConfig: {secretRef: {name: x}}"), "a": child("b", "")},
			units: "flux-system a",
		},
		"Again": {
			why:   "a unit that two others deliver is built once, and a circle of deliveries ends",
			files: fixed{"root": child("a", "") + "---\n" + child("b", ""), "a": child("b", ""), "b": child("a", "")},
			units: "flux-system a b",
		},
		"Broken": {
			why:      "one that is broken does not stop the others",
			files:    fixed{"root": child("a", "") + "---\n" + child("b", ""), "a": "!does not build", "b": fmt.Sprintf(config, "x", "a", "b")},
			units:    "flux-system b",
			findings: "flux-system/a: does not build",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			result, err := Build(t.Context(), Options{Path: "root", Renderer: c.files})
			if err != nil {
				t.Fatal(err)
			}
			var units, findings []string
			for _, unit := range result.Units {
				units = append(units, unit.Owner.Name)
			}
			for _, finding := range result.Findings {
				findings = append(findings, finding.Unit.String()+": "+finding.Text)
			}
			if diff := cmp.Diff(c.units, strings.Join(units, " ")) + cmp.Diff(c.findings, strings.Join(findings, "\n")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func TestPlaceholders(t *testing.T) {
	cases := map[string]struct{ why, text, want string }{
		"Text":      {"a name where nothing is known", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '${A_B}'}}", "A_B=missing-a-b"},
		"Number":    {"a number where only a number fits", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: '${N}'}}", "N=1"},
		"Boolean":   {"a truth value where only that fits", "{apiVersion: v1, kind: Secret, metadata: {name: a}, immutable: '${B}'}", "B=true"},
		"Quantity":  {"quantities are numbers", "{apiVersion: v1, kind: ResourceQuota, metadata: {name: a}, spec: {hard: {cpu: '${CPU}'}}}", "CPU=1"},
		"List":      {"in lists, too", "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: '${P}'}]}}", "P=1"},
		"Part":      {"a part of a text is a text", "{apiVersion: v1, kind: ConfigMap, metadata: {name: 'a-${P}'}}", "P=missing-p"},
		"Key":       {"keys are substituted, too", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {'${K}': x}}", "K=missing-k"},
		"Custom":    {"the fields of other kinds are not known", "{apiVersion: example.org/v1, kind: Thing, metadata: {name: a}, spec: {n: '${N}'}}", "N=missing-n"},
		"Default":   {"what has a default needs nothing", "{apiVersion: v1, kind: ConfigMap, metadata: {name: '${D:=d}-${E:-e}'}}", ""},
		"Known":     {"nor what has a value", "{apiVersion: v1, kind: ConfigMap, metadata: {name: '${KNOWN}'}}", ""},
		"Off":       {"nor what is not substituted", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {kustomize.toolkit.fluxcd.io/substitute: disabled}}, data: {x: '${X}'}}", ""},
		"Untouched": {"nor what is no variable", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '$X $${Y}'}}", ""},
		"Function":  {"a function needs its variable", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '${V^^}'}}", "V=missing-v"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			input := render.Input{Path: "x", Variables: render.Variables{Values: map[string]string{"KNOWN": "k"}}}
			walk := &walk{Options: Options{Renderer: fixed{"x": c.text}}}
			filled, err := walk.fill(t.Context(), &input)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, name := range filled {
				got = append(got, name+"="+input.Variables.Values[name])
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func objectOf(raw []byte) (object.Object, error) {
	u := object.Object{JSON: raw}
	decoded, err := u.Decode()
	if err != nil {
		return object.Object{}, err
	}
	return object.New(decoded, "")
}
