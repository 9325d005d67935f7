package cli

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/cli/preview"
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
		"Elsewhere":  {why: "a unit is no source", args: "source ks/a", fails: true},
		"Contrary":   {why: "one list has one kind when a kind is named", args: "units ks/a hr/b", fails: true},
		"Nothing":    {why: "something has to be named", args: "", fails: true},
		"Unknown":    {why: "other kinds are kubectl's", args: "pods", fails: true},
		"NoName":     {why: "a slash wants a name", args: "ks/", fails: true},
		"NoNameHere": {why: "a slash wants a name", args: "unit ks/", fails: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			parsed, err := parseSubject(strings.Fields(c.args))
			if (err != nil) != c.fails {
				t.Fatalf("%s: %v", c.why, err)
			}
			var kinds []string
			for _, kind := range parsed.kinds {
				kinds = append(kinds, kind.Kind)
			}
			if c.fails {
				return
			}
			if diff := cmp.Diff(c.kinds, kinds) + cmp.Diff(c.names, parsed.names); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func resource(suspend bool, conditions ...metav1.Condition) fleet.Resource {
	return fleet.Resource{Object: &unstructured.Unstructured{}, Spec: fleet.Spec{Suspend: suspend}, Status: fleet.Status{Conditions: conditions}}
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
			filter, err := parseStatusFilter(c.text)
			if (err != nil) != c.fails {
				t.Fatalf("%s: %v", c.why, err)
			}
			if c.fails {
				return
			}
			if filter.keeps(ready) != c.ready || filter.keeps(fresh) != c.fresh {
				t.Errorf("%s: keeps the ready one: %t, the fresh one: %t", c.why, filter.keeps(ready), filter.keeps(fresh))
			}
		})
	}
}

func TestParseSource(t *testing.T) {
	cases := map[string]struct {
		why, text string
		want      preview.Source
		dir       string
		fails     bool
	}{
		"Name":  {why: "a name is enough", text: "infra=../infra", want: preview.Source{Name: "infra"}, dir: "../infra"},
		"Space": {why: "the same name may be in two namespaces", text: "a/infra=d", want: preview.Source{Namespace: "a", Name: "infra"}, dir: "d"},
		"Kind":  {why: "and in two kinds", text: "OCIRepository/a/infra=d=e", want: preview.Source{Kind: "OCIRepository", Namespace: "a", Name: "infra"}, dir: "d=e"},
		"NoDir": {why: "a folder is needed", text: "infra=", fails: true},
		"Only":  {why: "a folder is needed", text: "infra", fails: true},
		"Deep":  {why: "there are three parts at most", text: "a/b/c/d=e", fails: true},
	}
	for name, c := range cases {
		source, dir, err := parseSource(c.text)
		if (err != nil) != c.fails || source != c.want || dir != c.dir {
			t.Errorf("%s: got %v, %q, %v: %s", name, source, dir, err, c.why)
		}
	}
}

func TestOutputFormats(t *testing.T) {
	value := map[string]any{"b": "<x>", "a": []any{1}}
	cases := map[string]struct {
		why    string
		output output
		want   string
	}{
		"JSON": {"scripts and people read the same JSON", outputJSON, "{\n  \"a\": [\n    1\n  ],\n  \"b\": \"<x>\"\n}\n{\n  \"a\": [\n    1\n  ],\n  \"b\": \"<x>\"\n}\n"},
		"YAML": {"documents are kept apart", outputYAML, "a:\n- 1\nb: <x>\n---\na:\n- 1\nb: <x>\n"},
	}
	for name, c := range cases {
		var out bytes.Buffer
		for i := range 2 {
			if err := c.output.encode(&out, value, i == 0); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", name, c.why, diff)
		}
	}
}

func TestReport(t *testing.T) {
	cases := map[string]struct {
		why  string
		err  error
		want string
		code int
	}{
		"None":  {why: "success says nothing"},
		"Plain": {"one line, whatever the error holds", errors.Join(errors.New("a\x1b[2J"), errors.New("b")), "holdfast: a[2J; b\n", exitFailed},
		"Hint":  {"what to do next has a line of its own", hinted(errors.New("a"), "do %s", "b"), "holdfast: a\nhint: do b\n", exitFailed},
		"Code":  {"a command may choose its code", &failure{err: errors.New("a"), code: exitUnknown}, "holdfast: a\n", exitUnknown},
	}
	for name, c := range cases {
		var out bytes.Buffer
		if code := report(&out, c.err); code != c.code || out.String() != c.want {
			t.Errorf("%s: got %d, %q: %s", name, code, out.String(), c.why)
		}
	}
}

func TestStreamsOfScripts(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for name, std := range map[string]Streams{"Buffer": {Out: &bytes.Buffer{}}, "File": {Out: file}} {
		if std.IsTerminal() || std.Colour() || std.Width() != 0 {
			t.Errorf("%s: what is no terminal gets no colours and whole lines", name)
		}
	}
}

func TestLines(t *testing.T) {
	cases := map[string]struct {
		why              string
		all, ctype, lang string
		want             bool
	}{
		"None":  {why: "nothing known: plain characters work everywhere"},
		"Lang":  {why: "the usual place", lang: "en_GB.UTF-8", want: true},
		"Order": {why: "LC_ALL wins", all: "C", lang: "en_GB.UTF-8"},
		"CType": {why: "LC_CTYPE comes before LANG", ctype: "C.utf8", lang: "C", want: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv("LC_ALL", c.all)
			t.Setenv("LC_CTYPE", c.ctype)
			t.Setenv("LANG", c.lang)
			if got := (Streams{}).lines(); got != c.want {
				t.Errorf("got %t: %s", got, c.why)
			}
		})
	}
}

func FuzzArguments(f *testing.F) {
	for _, seed := range []string{"units", "source bucket/a", "ready=true,suspended=false", "a/b/c=d", "/", "=", "apiVersion: v1\nkind: X\n---\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if parsed, err := parseSubject(strings.Fields(text)); err == nil && len(parsed.kinds) == 0 {
			t.Errorf("subject %q has no kinds", text)
		}
		if filter, err := parseStatusFilter(text); err == nil {
			filter.keeps(resource(false))
		}
		if source, dir, err := parseSource(text); err == nil && (source.Name == "" || dir == "") {
			t.Errorf("source %q has no name or no folder", text)
		}
		if objects, err := readManifests(strings.NewReader(text), "-"); err == nil {
			for _, u := range objects {
				_ = u.GetName()
			}
		}
	})
}
