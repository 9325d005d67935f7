package chart_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	helmcommon "helm.sh/helm/v4/pkg/release/common"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render/chart"
	"holdfast.dev/holdfast/internal/stage/render/chart/budget"
)

// files is a tree in memory.
type files struct {
	index *tree.Index
	data  map[string][]byte
}

func treeOf(text string) files {
	t := files{data: map[string][]byte{}}
	var entries []tree.Entry
	for _, file := range txtar.Parse([]byte(text)).Files {
		t.data[file.Name] = file.Data
		entries = append(entries, tree.Entry{Path: file.Name, Hash: fmt.Sprintf("test:%x", file.Data), Size: int64(len(file.Data)), Mode: 0o644})
	}
	t.index = tree.NewIndex(entries)
	return t
}

func (t files) Revision() string   { return "test" }
func (t files) Digest() string     { return "test" }
func (t files) Index() *tree.Index { return t.index }
func (t files) Read(name string) ([]byte, error) {
	if data, found := t.data[tree.Clean(name)]; found {
		return data, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

var owner = object.Owner{Namespace: "apps", Name: "web"}

func inputFor(t *testing.T, r *chart.Renderer, text string) chart.Input {
	t.Helper()
	loaded, err := r.Open(treeOf(text), "")
	if err != nil {
		t.Fatalf("opening the chart: %v", err)
	}
	return chart.Input{Owner: owner, Chart: loaded, Name: "web", Namespace: "prod", Revision: 1}
}

func render(t *testing.T, in chart.Input, r *chart.Renderer) chart.Output {
	t.Helper()
	out, err := r.Render(context.Background(), in)
	if err != nil {
		t.Fatalf("rendering: %v", err)
	}
	return out
}

const webChart = `
-- Chart.yaml --
apiVersion: v2
name: web
version: 1.2.3
appVersion: "7"
-- values.yaml --
image: example.org/web:1
password: none
-- crds/things.yaml --
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec: {group: example.org, scope: Namespaced, names: {kind: Thing, plural: things}}
-- templates/_helpers.tpl --
{{- define "web.labels" -}}
app: {{ .Release.Name }}
{{- end }}
-- templates/all.yaml --
apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}
  labels: {{- include "web.labels" . | nindent 4 }}
spec:
  ports: [{port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: {{ .Values.image | quote }}}]
-- templates/cluster.yaml --
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: web, namespace: {{ .Release.Namespace }}}
---
apiVersion: example.org/v1
kind: Thing
metadata: {name: one}
-- templates/job.yaml --
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations: {helm.sh/hook: "pre-upgrade, pre-install", helm.sh/hook-weight: "5"}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: before
  annotations: {helm.sh/hook: pre-install, helm.sh/hook-weight: "-1", helm.sh/hook-delete-policy: "hook-succeeded,hook-failed"}
---
apiVersion: v1
kind: Pod
metadata:
  name: probe
  annotations: {helm.sh/hook: test}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: old
  annotations: {helm.sh/hook: crd-install}
-- templates/NOTES.txt --
Log in with {{ .Values.password }}.
`

func TestRender(t *testing.T) {
	r := chart.New(chart.Options{})
	in := inputFor(t, r, webChart)
	in.Values, in.Secret = map[string]any{"password": "hunter22"}, []redact.Text{"hunter22"}
	out := render(t, in, r)
	var got []string
	for _, one := range append(append([]object.Object{}, out.CRDs...), out.Objects...) {
		got = append(got, one.Ref.String()+" < "+one.Source)
	}
	want := []string{
		"CustomResourceDefinition/things.example.org < web/crds/things.yaml",
		"ClusterRole/web < web/templates/cluster.yaml",
		"Service/prod/web < web/templates/all.yaml",
		"Deployment/prod/web < web/templates/all.yaml",
		"Thing/prod/one < web/templates/cluster.yaml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if !out.CRDs[0].Rules.IfNotPresent {
		t.Error("the policy Create must never replace a definition")
	}
	u, err := out.Objects[1].Decode()
	if err != nil {
		t.Fatal(err)
	}
	wantLabels := map[string]string{"app": "web", "app.kubernetes.io/managed-by": "Helm", chart.LabelName: "web", chart.LabelNamespace: "apps"}
	if diff := cmp.Diff(wantLabels, u.GetLabels()); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if strings.Contains(out.Notes, "hunter22") || !strings.Contains(out.Record(chart.Pending{}).Info.Notes, "hunter22") {
		t.Errorf("notes: what is told must be masked, what is stored must not be: %q", out.Notes)
	}
	if strings.Contains(out.Manifest, "holdfast_") || strings.Contains(fmt.Sprint(string(out.Record(chart.Pending{}).Chart.Templates[0].Data)), "holdfast_") {
		t.Error("what counts in templates must not be seen outside")
	}
	if len(out.Warnings) != 1 || !strings.Contains(out.Warnings[0], "crd-install") {
		t.Errorf("warnings = %q, want one of the hook that Helm does not know", out.Warnings)
	}
}

func TestHooks(t *testing.T) {
	r := chart.New(chart.Options{})
	out := render(t, inputFor(t, r, webChart), r)
	got := map[string][]string{}
	for _, event := range []chart.Event{chart.PreInstall, chart.PreUpgrade, chart.Test, chart.PostDelete} {
		for _, hook := range out.HooksAt(event) {
			got[event.String()] = append(got[event.String()], fmt.Sprintf("%s %d %v", hook.Object.Ref, hook.Weight, hook.Delete))
		}
	}
	want := map[string][]string{
		"pre-install": {"ConfigMap/prod/before -1 [hook-succeeded hook-failed]", "Job/prod/migrate 5 [before-hook-creation]"},
		"pre-upgrade": {"Job/prod/migrate 5 [before-hook-creation]"},
		"test":        {"Pod/prod/probe 0 [before-hook-creation]"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
}

func TestKnownInputIsNotRendered(t *testing.T) {
	renders := 0
	r := chart.New(chart.Options{Count: func(known bool) {
		if !known {
			renders++
		}
	}})
	in := inputFor(t, r, webChart)
	in.Values = map[string]any{"a": 1, "b": 2}
	first := render(t, in, r)
	second := render(t, in, r)
	if renders != 1 || first.Cached || !second.Cached || first.Fingerprint != second.Fingerprint {
		t.Errorf("renders = %d, cached = %t then %t; want one render", renders, first.Cached, second.Cached)
	}
	in.Values = map[string]any{"image": "example.org/web:2"}
	third := render(t, in, r)
	if third.Cached || third.Fingerprint == first.Fingerprint || third.ConfigDigest == first.ConfigDigest {
		t.Error("other values make another release")
	}
}

func TestRestore(t *testing.T) {
	r := chart.New(chart.Options{})
	in := inputFor(t, r, webChart)
	out := render(t, in, r)
	record := out.Record(chart.Pending{Status: helmcommon.StatusDeployed, Now: time.Unix(1, 0)})
	again, err := r.Restore(context.Background(), chart.Input{Owner: owner}, record)
	if err != nil {
		t.Fatal(err)
	}
	if again.Fingerprint != out.Fingerprint {
		t.Errorf("a record must give the objects that were released:\n%s", cmp.Diff(out.Objects, again.Objects))
	}
	if diff := cmp.Diff(out.Hooks, again.Hooks); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
}

func TestPostRenderers(t *testing.T) {
	patch := chart.PostRenderer{
		Patches: []chart.Patch{{Patch: `[{"op": "add", "path": "/metadata/annotations/seen", "value": "yes"}]`, Target: &chart.Selector{Name: "migrate|web"}}},
		Images:  []chart.Image{{Name: "example.org/web", NewTag: "9"}},
	}
	text := strings.Replace(webChart, "kind: Deployment\nmetadata:\n", "kind: Deployment\nmetadata:\n  annotations: {a: b}\n", 1)
	text = strings.Replace(text, "kind: Service\nmetadata:\n", "kind: Service\nmetadata:\n  annotations: {a: b}\n", 1)
	text = strings.Replace(text, "kind: ClusterRole\nmetadata: {", "kind: ClusterRole\nmetadata: {annotations: {a: b}, ", 1)
	cases := map[string]struct {
		why      string
		strategy chart.Strategy
		hook     bool
	}{
		"Combined": {why: "hooks are changed like objects", strategy: chart.Combined, hook: true},
		"Default":  {why: "which is the default", hook: true},
		"Separate": {why: "also in a stream of their own", strategy: chart.Separate, hook: true},
		"NoHooks":  {why: "but not where that is not wanted", strategy: chart.NoHooks},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := chart.New(chart.Options{})
			in := inputFor(t, r, text)
			in.PostRenderers, in.Strategy = []chart.PostRenderer{patch}, tc.strategy
			in.Labels = map[string]string{"team": "blue"}
			out := render(t, in, r)
			hook := string(out.HooksAt(chart.PreUpgrade)[0].Object.JSON)
			if got := strings.Contains(hook, `"seen"`) && strings.Contains(hook, `"team"`); got != tc.hook {
				t.Errorf("%s: the hook was changed: %t, want %t: %s", tc.why, got, tc.hook, hook)
			}
			for _, one := range out.Objects {
				if strings.Contains(string(one.JSON), "holdfast.dev/document") {
					t.Errorf("%s has an annotation of ours", one.Ref)
				}
				if one.Kind == "Deployment" && (!strings.Contains(string(one.JSON), "example.org/web:9") || !strings.Contains(string(one.JSON), `"seen"`)) {
					t.Errorf("the deployment was not changed: %s", one.JSON)
				}
				if one.Source == "" || strings.HasPrefix(one.Source, "generated") {
					t.Errorf("%s lost its source: %q", one.Ref, one.Source)
				}
			}
		})
	}
}

func simple(template string) string {
	return "-- Chart.yaml --\napiVersion: v2\nname: bad\nversion: 1.0.0\n-- templates/a.yaml --\n" + template + "\n"
}

func TestRefusals(t *testing.T) {
	cases := map[string]struct {
		why, text string
		values    map[string]any
		want      string
		is        error
	}{
		"EndlessLoop":  {why: "a loop over a number ends in time", text: simple(`{{ range 100000000000 }}{{ end }}`), is: budget.ErrSpent},
		"TextBomb":     {why: "a loop that writes is bounded", text: simple(`{{ range 100000000000 }}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{{ end }}`), is: budget.ErrSpent},
		"Until":        {why: "a list of all numbers is not made", text: simple(`{{ range until 9000000000 }}{{ end }}`), is: budget.ErrSpent},
		"Repeat":       {why: "nor a text without end", text: simple(`{{ "x" | repeat 9000000000 }}`), is: budget.ErrSpent},
		"Laughs":       {why: "templates that include each other twice", text: simple(`{{ define "a" }}{{ template "b" }}{{ template "b" }}{{ end }}{{ define "b" }}{{ template "c" }}{{ template "c" }}{{ end }}{{ define "c" }}` + strings.Repeat(`{{ include "d" . }}`, 40) + `{{ end }}{{ define "d" }}` + strings.Repeat(`{{ include "e" . }}`, 900) + `{{ end }}{{ define "e" }}{{ range 900000000 }}{{ end }}{{ end }}{{ template "a" }}`), is: budget.ErrSpent},
		"Doubling":     {why: "a text made of itself, in a straight line", text: simple(`{{ $x := "aaaaaaaa" }}` + strings.Repeat(`{{ $x = printf "%s%s" $x $x }}`, 40) + `{{ $x }}`), is: budget.ErrSpent},
		"Quoting":      {why: "quotes of quotes", text: simple(`{{ $x := "\"\"" }}` + strings.Repeat(`{{ $x = quote $x }}`, 60) + `{{ $x }}`), is: budget.ErrSpent},
		"Nesting":      {why: "a dictionary that holds itself twice, written out", text: simple(`{{ $x := dict }}` + strings.Repeat(`{{ $x = dict "a" $x "b" $x }}`, 60) + `{{ $x }}`), is: budget.ErrSpent},
		"Cycle":        {why: "a dictionary in itself would end the process", text: simple(`{{ $x := dict }}{{ $_ := set $x "x" $x }}{{ $x }}`), is: budget.ErrSpent},
		"ValuesCycle":  {why: "also in values", text: simple(`{{ $_ := set .Values "x" .Values }}{{ .Values }}`), is: budget.ErrSpent},
		"MergeCycle":   {why: "also by merging", text: simple(`{{ $x := dict "a" 1 }}{{ $_ := merge $x (dict "b" $x) }}{{ $x }}`), is: budget.ErrSpent},
		"TplLoop":      {why: "templates that are made while rendering count, too", text: simple(`{{ tpl .Values.text . }}`), values: map[string]any{"text": `{{ range 100000000000 }}{{ end }}`}, is: budget.ErrSpent},
		"Recursion":    {why: "a template that includes itself", text: simple(`{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}`), want: "nested reference name: a"},
		"BadYAML":      {why: "the file is named", text: simple("a: b: c"), want: "YAML parse error on bad/templates/a.yaml"},
		"NoObject":     {why: "a document that is no object", text: simple("just text"), want: "bad/templates/a.yaml: it holds no Kubernetes object"},
		"Syntax":       {why: "template and line are named", text: simple("\n{{ if }}"), want: "bad/templates/a.yaml:2"},
		"Fail":         {why: "what a chart says is told", text: simple(`{{ fail "set the host" }}`), want: "set the host"},
		"SecretInText": {why: "a secret value stays one", text: simple(`{{ fail .Values.password }}`), values: map[string]any{"password": "hunter22"}, want: "(secret)"},
		"Library":      {why: "a library is no release", text: "-- Chart.yaml --\napiVersion: v2\nname: bad\nversion: 1.0.0\ntype: library\n", want: "library charts are not installable"},
		"Dependency":   {why: "a dependency that is not in the chart", text: "-- Chart.yaml --\napiVersion: v2\nname: bad\nversion: 1.0.0\ndependencies: [{name: redis, version: 1.x, repository: 'https://example.org'}]\n", want: "missing in charts/ directory: redis"},
		"KubeVersion":  {why: "a chart for newer clusters", text: "-- Chart.yaml --\napiVersion: v2\nname: bad\nversion: 1.0.0\nkubeVersion: '>=1.99'\n", want: "incompatible with Kubernetes"},
		"Schema":       {why: "values are checked", text: simple("") + "-- values.schema.json --\n{\"properties\": {\"n\": {\"type\": \"integer\"}}}\n", values: map[string]any{"n": "x"}, want: "values don't meet the specifications"},
		"RemoteSchema": {why: "a schema reads no file of ours", text: simple("") + "-- values.schema.json --\n{\"$ref\": \"file:///etc/passwd\"}\n", want: "may only refer to itself"},
		"Twice":        {why: "one object from two files", text: simple("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}") + "-- templates/b.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", want: "is there twice: in bad/templates/a.yaml and in bad/templates/b.yaml"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := chart.New(chart.Options{Time: 5 * time.Second, Budget: budget.Limits{Bytes: 4 << 20}})
			in := inputFor(t, r, tc.text)
			in.Values, in.Secret = tc.values, []redact.Text{"hunter22"}
			_, err := r.Render(context.Background(), in)
			if err == nil {
				t.Fatalf("%s: it rendered", tc.why)
			}
			if tc.is != nil && !errors.Is(err, tc.is) && !strings.Contains(err.Error(), tc.is.Error()) {
				t.Errorf("%s: error %q, want one of %q", tc.why, err, tc.is)
			}
			if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter22") || strings.Contains(err.Error(), "holdfast_") {
				t.Errorf("%s: error %q, want %q in it", tc.why, err, tc.want)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	const text = `{{ $s := lookup "v1" "Secret" .Release.Namespace "kept" }}
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {found: {{ if $s }}"yes"{{ else }}"no"{{ end }}}`
	r := chart.New(chart.Options{})
	in := inputFor(t, r, simple(text))
	if out := render(t, in, r); !out.LookedUp || !strings.Contains(out.Manifest, `found: "no"`) {
		t.Errorf("without a cluster nothing is found: %s", out.Manifest)
	}
	r = chart.New(chart.Options{})
	in.Lookup = func(_ context.Context, apiVersion, kind, namespace, name string) (map[string]any, error) {
		if diff := cmp.Diff([]string{"v1", "Secret", "prod", "kept"}, []string{apiVersion, kind, namespace, name}); diff != "" {
			t.Errorf("asked for (-want +got):\n%s", diff)
		}
		return map[string]any{"kind": "Secret"}, nil
	}
	if out := render(t, in, r); !strings.Contains(out.Manifest, `found: "yes"`) {
		t.Errorf("what is there is found: %s", out.Manifest)
	}
}

// TestTemplatesSeeNothingOfOurs keeps charts from our environment and from our network.
func TestTemplatesSeeNothingOfOurs(t *testing.T) {
	r := chart.New(chart.Options{})
	for _, text := range []string{`{{ env "PATH" }}`, `{{ expandenv "$PATH" }}`} {
		if _, err := r.Render(context.Background(), inputFor(t, r, simple(text))); err == nil || !strings.Contains(err.Error(), "not defined") {
			t.Errorf("%s: %v, want that there is no such function", text, err)
		}
	}
	out := render(t, inputFor(t, r, simple("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {host: {{ getHostByName \"localhost\" | quote }}}")), r)
	if !strings.Contains(out.Manifest, `host: ""`) {
		t.Errorf("a template asked for a name: %s", out.Manifest)
	}
}

func TestReleaseName(t *testing.T) {
	long := strings.Repeat("a", 60)
	cases := map[string]struct{ why, wanted, target, name, want string }{
		"Own":    {why: "the HelmRelease's name", name: "web", want: "web"},
		"Target": {why: "with the target namespace before it", target: "prod", name: "web", want: "prod-web"},
		"Wanted": {why: "what was asked for wins", wanted: "shop", target: "prod", name: "web", want: "shop"},
		"Limit":  {why: "53 characters are fine", name: long[:53], want: long[:53]},
		"Long":   {why: "more are cut, as Flux cuts them", name: "some-front-appended-namespace-release-with-a-very-long-name", want: "some-front-appended-namespace-release-wi-" + "0d2b3f6a8ce4"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := chart.ReleaseName(tc.wanted, tc.target, tc.name)
			if name == "Long" {
				if len(got) != 53 || got[:41] != tc.want[:41] {
					t.Errorf("%s: %q", tc.why, got)
				}
				return
			}
			if got != tc.want {
				t.Errorf("%s: %q, want %q", tc.why, got, tc.want)
			}
		})
	}
}
