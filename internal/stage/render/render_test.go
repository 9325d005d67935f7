package render_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/render"
)

var owner = object.Owner{Namespace: "flux-system", Name: "apps"}

func refs(output render.Output) []string {
	var names []string
	for _, o := range output.Objects {
		names = append(names, o.Ref.String())
	}
	return names
}

func configMap(name, data string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n  namespace: x\ndata:\n  value: " + data + "\n"
}

func TestRenderPaths(t *testing.T) {
	files := treeOf(map[string]string{
		"apps/a.yaml":                 configMap("a", "one"),
		"apps/sub/b.yml":              configMap("b", "two"),
		"apps/own/kustomization.yaml": "resources: [c.yaml]\nnamespace: own\n",
		"apps/own/c.yaml":             configMap("c", "three"),
		"apps/own/unlisted.yaml":      configMap("d", "four"),
		"apps/notes.txt":              "not YAML: [",
		"empty/README.md":             "nothing",
		"broken/x.yaml":               "a: b\n",
	})
	cases := map[string]struct {
		why, path  string
		want       []string
		wantReason string
		wantErr    string
	}{
		"Generated": {
			why: "all manifests below are resources; a directory with its own kustomization is one resource", path: "./apps",
			want: []string{"ConfigMap/own/c", "ConfigMap/x/a", "ConfigMap/x/b"},
		},
		"Empty":   {why: "an empty directory is valid and prunes everything", path: "empty"},
		"Missing": {why: "a missing path is not an empty one", path: "nope", wantReason: "ArtifactFailed", wantErr: "nope"},
		"File":    {why: "a file is no directory", path: "apps/a.yaml", wantReason: "ArtifactFailed", wantErr: "apps/a.yaml"},
		"NoObjects": {
			why: "every file of a generated kustomization must hold objects", path: "broken",
			wantReason: "BuildFailed", wantErr: "broken/x.yaml",
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			output, err := render.New(render.Options{}).Render(context.Background(),
				render.Input{Owner: owner, Tree: files, Path: test.path})
			if got := fault.ReasonOf(err, ""); got != test.wantReason {
				t.Fatalf("%s: reason %q of error %v, want %q", test.why, got, err, test.wantReason)
			}
			if err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("error %q does not name %q", err, test.wantErr)
			}
			if diff := cmp.Diff(refs(output), test.want); diff != "" {
				t.Errorf("%s (-got +want):\n%s", test.why, diff)
			}
		})
	}
}

func TestRenderAgainUnchanged(t *testing.T) {
	files := treeOf(map[string]string{"apps/a.yaml": configMap("a", "one"), "README.md": "x"})
	renderer := render.New(render.Options{})
	input := render.Input{Owner: owner, Tree: files, Path: "apps"}
	first, err := renderer.Render(context.Background(), input)
	if err != nil || first.Cached {
		t.Fatalf("first: cached %v, error %v", first.Cached, err)
	}
	input.Tree = files.with(map[string]string{"README.md": "y", "apps/notes.txt": "z"})
	second, err := renderer.Render(context.Background(), input)
	if err != nil || !second.Cached || second.Fingerprint != first.Fingerprint {
		t.Errorf("nothing that was read changed: cached %v, fingerprint %s, error %v", second.Cached, second.Fingerprint, err)
	}
	for why, changes := range map[string]map[string]string{
		"a file changed":          {"apps/a.yaml": configMap("a", "two")},
		"a file is new":           {"apps/b.yaml": configMap("b", "two")},
		"a kustomization is new":  {"apps/kustomization.yaml": "namespace: y\nresources: [a.yaml]\n"},
		"the only file went away": {"apps/a.yaml": "", "apps/README": "x"},
	} {
		input.Tree = files.with(changes)
		third, err := renderer.Render(context.Background(), input)
		if err != nil || third.Cached || third.Fingerprint == first.Fingerprint {
			t.Errorf("%s: cached %v, fingerprint %s, error %v", why, third.Cached, third.Fingerprint, err)
		}
	}
}
