package check_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"holdfast.dev/holdfast/internal/cli/check"
	"holdfast.dev/holdfast/internal/stage/render"
)

// folder writes files, which are in txtar's form.
func folder(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range txtar.Parse([]byte(text)).Files {
		name := filepath.Join(dir, file.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, file.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run runs the command, and returns what it printed and the code that it ends with.
func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	command := check.New(check.Outside{Out: &out, Err: &out, Opener: func(string) (render.Opener, error) { return nil, nil }})
	command.SetArgs(args)
	command.SilenceErrors, command.SilenceUsage = true, true
	err := command.ExecuteContext(t.Context())
	var problem *check.Problem
	switch {
	case err == nil:
		return out.String(), 0
	case errors.As(err, &problem):
		return out.String(), problem.ExitCode()
	default:
		t.Fatal(err)
		return "", 0
	}
}

const unit = `
-- clusters/dev/apps.yaml --
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: apps
  namespace: flux-system
spec:
  interval: 1h
  path: ./apps
  prune: true
  sourceRef:
    kind: GitRepository
    name: flux-system
`

const mistakes = unit + `
-- apps/web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: apps
spec:
  replicas: "3"
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          image: nginx:1
          imagePullPolicy: Sometimes
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: apps
spec:
  selektor: {app: web}
  ports:
    - port: 80
    - port: 80
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: Bad_Name
  namespace: apps
data:
  a: 1
`

func TestCheck(t *testing.T) {
	const sound = unit + "-- apps/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: apps}\n"
	cases := map[string]struct {
		why, in  string
		wantCode int
		want     []string
	}{
		"Sound": {why: "nothing to say", in: sound, want: []string{"0 errors, 0 warnings and 0 remarks in 2 objects of 2 units, 1 environment"}},
		"Mistakes": {why: "all mistakes at once, each at its line", in: mistakes, wantCode: 1, want: []string{
			"ConfigMap/apps/Bad_Name metadata.name: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (apps/web.yaml:33) [schema/metadata] in flux-system/apps",
			"ConfigMap/apps/Bad_Name data.a: wants a string, not an integer (apps/web.yaml:36) [schema/type]; put it in quotes in flux-system/apps",
			"Service/apps/web spec.selektor: the kind has no such field (apps/web.yaml:25) [schema/unknown-field]; did you mean selector? in flux-system/apps",
			"Service/apps/web spec.ports[1]: has the same port and protocol as item 0 (apps/web.yaml:28) [schema/twice]; take one of them away in flux-system/apps",
			"Deployment/apps/web spec.replicas: wants an integer, not a string (apps/web.yaml:7) [schema/type]; take the quotes off in flux-system/apps",
			"Deployment/apps/web spec.template.spec.containers[0].imagePullPolicy: must be one of Always, IfNotPresent, Never (apps/web.yaml:17) [schema/value] in flux-system/apps",
			"6 errors, 0 warnings and 0 remarks in 4 objects of 2 units, 1 environment",
		}},
		"Broken": {why: "a unit that cannot be built is a finding like others", in: unit + "-- apps/a.yaml --\na: [\n", wantCode: 1, want: nil},
		"Elsewhere": {
			why:      "what is in another repository cannot be judged",
			in:       sound + strings.NewReplacer("apps.yaml", "other.yaml", "name: apps", "name: other", "name: flux-system", "name: infra").Replace(unit),
			wantCode: 3, want: []string{
				"info: flux-system/other its files are in GitRepository flux-system/infra, which is not this tree [build/not-evaluated]; name a folder that holds them with --source infra=DIR",
				"0 errors, 0 warnings and 1 remark in 3 objects of 2 units, 1 environment",
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out, code := run(t, folder(t, tc.in))
			if code != tc.wantCode {
				t.Errorf("%s: exit code %d, want %d\n%s", tc.why, code, tc.wantCode, out)
			}
			if tc.want == nil {
				return
			}
			if diff := cmp.Diff(tc.want, strings.Split(strings.TrimSpace(out), "\n")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}

func TestFormats(t *testing.T) {
	dir := folder(t, mistakes)
	first := map[string]string{}
	for _, format := range []string{"text", "json", "sarif", "junit", "github", "markdown"} {
		out, code := run(t, dir, "-o", format)
		again, _ := run(t, dir, "-o", format)
		if code != 1 || out != again {
			t.Errorf("%s: exit code %d, and the same tree gives the same: %v", format, code, out == again)
		}
		if !strings.Contains(out, "apps/web.yaml") {
			t.Errorf("%s names no file:\n%s", format, out)
		}
		first[format] = out
	}
	for _, format := range []string{"json", "sarif"} {
		if !json.Valid([]byte(first[format])) {
			t.Errorf("%s is no JSON", format)
		}
	}
	if err := xml.Unmarshal([]byte(first["junit"]), new(struct{})); err != nil {
		t.Errorf("junit is no XML: %v", err)
	}
	if line, _, _ := strings.Cut(first["github"], "\n"); !strings.HasPrefix(line, "::error file=apps/web.yaml,line=33,title=schema/metadata::") {
		t.Errorf("github: %s", line)
	}
}

func TestEnvironments(t *testing.T) {
	sound := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: apps}\n"
	both := unit + strings.Replace(unit, "clusters/dev", "clusters/prod", 1) + "-- apps/a.yaml --\n" + sound
	cases := map[string]struct {
		why, in string
		args    []string
		want    string
	}{
		"All":     {why: "all environments by themselves", in: both, want: "4 objects of 4 units, 2 environments"},
		"One":     {why: "or those that are named", in: both, args: []string{"--env", "prod"}, want: "2 objects of 2 units, 1 environment"},
		"Roots":   {why: "a layout of its own is found by what delivers the rest", in: strings.Replace(unit, "clusters/dev", "flux/main", 1) + "-- apps/a.yaml --\n" + sound, want: "2 objects of 2 units, 1 environment"},
		"Nested":  {why: "so are clusters that begin one folder further down", in: strings.Replace(unit, "clusters/dev", "clusters/kind/base", 1) + "-- clusters/kind/note.txt --\nx\n-- apps/a.yaml --\n" + sound, want: "2 objects of 2 units, 1 environment"},
		"Foreign": {why: "what others deliver is built by itself", in: "-- a/kustomization.yaml --\nresources: [a.yaml]\n-- a/a.yaml --\n" + sound + "-- b/kustomization.yaml --\nresources: [../a]\n", want: "1 object of 1 unit, 1 environment"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out, _ := run(t, append(tc.args, folder(t, tc.in))...)
			if !strings.Contains(out, tc.want+"\n") {
				t.Errorf("%s: %s", tc.why, out)
			}
		})
	}
}
