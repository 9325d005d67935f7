package render_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sync/errgroup"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/render"
	"holdfast.dev/holdfast/internal/stage/render/manifest"
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

func mustGet(t *testing.T, renderer *render.Renderer, input render.Input) render.Output {
	t.Helper()
	output, err := renderer.Render(context.Background(), input)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func TestRenderKeepsWhatDidNotChange(t *testing.T) {
	files := treeOf(map[string]string{
		"apps/a.yaml": configMap("a", "one"), "apps/b.yaml": configMap("b", "${X}"),
		"apps/c.yaml": configMap("c", "one") + "---\n" + configMap("d", "one"),
	})
	renderer := render.New(render.Options{})
	input := render.Input{
		Owner: owner, Tree: files, Path: "apps", TargetNamespace: "y",
		Variables: render.Variables{Enabled: true, Values: map[string]string{"X": "1"}},
	}
	first := mustGet(t, renderer, input)
	input.Tree = files.with(map[string]string{"apps/c.yaml": configMap("c", "one") + "---\n" + configMap("d", "two")})
	second := mustGet(t, renderer, input)
	for i, name := range []string{"a", "b", "c", "d"} {
		same := &first.Objects[i].JSON[0] == &second.Objects[i].JSON[0]
		if changed := name == "d"; same == changed {
			t.Errorf("object %s: taken over %v, changed %v", name, same, changed)
		}
	}
	if second.Cached || second.Fingerprint == first.Fingerprint {
		t.Error("the change of an object is not in the output")
	}
	input.Variables.Values = map[string]string{"X": "2"}
	third := mustGet(t, renderer, input)
	if third.Cached || !strings.Contains(string(third.Objects[1].JSON), `"value":2`) {
		t.Errorf("another value of a variable: cached %v, object %s", third.Cached, third.Objects[1].JSON)
	}
	input.Owner.Name = "other"
	if fourth := mustGet(t, renderer, input); fourth.Cached || fourth.Fingerprint == third.Fingerprint {
		t.Error("another unit got the objects of the first")
	}
}

func TestRenderIsTheSameWhateverWasRenderedBefore(t *testing.T) {
	versions := []map[string]string{
		{},
		{"apps/b.yaml": configMap("b", "changed")},
		{"apps/b.yaml": "not: [yaml"},
		{"apps/kustomization.yaml": "namespace: other\nresources: [a.yaml, b.yaml]\n"},
		{"apps/kustomization.yaml": "namePrefix: x-\nresources: [a.yaml, b.yaml]\n"},
		{"apps/kustomization.yaml": "namePrefix: x-\nresources: [a.yaml]\n"},
		{"apps/a.yaml": configMap("b", "twice")},
		{"apps/a.yaml": "", "apps/b.yaml": ""},
		{"apps/a.yaml": configMap("a", "${UNSET}")},
	}
	files := treeOf(map[string]string{"apps/a.yaml": configMap("a", "one"), "apps/b.yaml": configMap("b", "one"), "README": "x"})
	warm := render.New(render.Options{})
	for round := range 3 {
		for i := range versions {
			at := versions[(i*(round+2))%len(versions)]
			input := render.Input{
				Owner: owner, Tree: files.with(at), Path: "apps",
				Variables: render.Variables{Enabled: true, Always: true},
			}
			want, wantErr := render.New(render.Options{}).Render(context.Background(), input)
			got, err := warm.Render(context.Background(), input)
			if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Errorf("%v: error %v, want %v", at, err, wantErr)
			}
			if diff := cmp.Diff(got.Objects, want.Objects); diff != "" || got.Fingerprint != want.Fingerprint {
				t.Errorf("%v (-warm +cold):\n%s", at, diff)
			}
		}
	}
}

func TestRenderSortsForWriting(t *testing.T) {
	files := map[string]string{}
	for i, kind := range []string{"Deployment", "Namespace", "ConfigMap", "Thing", "ValidatingWebhookConfiguration", "ServiceAccount", "Deployment", "ClusterRole"} {
		files[fmt.Sprintf("apps/f%d.yaml", i)] = fmt.Sprintf("apiVersion: example.org/v1\nkind: %s\nmetadata: {name: n%d}\n", kind, 9-i)
	}
	output := mustGet(t, render.New(render.Options{}), render.Input{Owner: owner, Tree: treeOf(files), Path: "apps"})
	want := slices.Clone(output.Objects)
	object.Sort(want)
	if diff := cmp.Diff(output.Objects, want); diff != "" || len(want) != len(files) {
		t.Errorf("order (-got +want):\n%s", diff)
	}
}

func TestRenderRemembersErrors(t *testing.T) {
	renderer := render.New(render.Options{})
	read := 0
	counting := countedTree{treeOf(map[string]string{"apps/a.yaml": "a: ["}), &read}
	input := render.Input{Owner: owner, Tree: counting, Path: "apps"}
	_, first := renderer.Render(context.Background(), input)
	before := read
	_, second := renderer.Render(context.Background(), input)
	if first == nil || second == nil || first.Error() != second.Error() || read != before {
		t.Errorf("errors %v and %v, %d reads for the second", first, second, read-before)
	}
}

func TestRenderForgetsBrokenReads(t *testing.T) {
	renderer := render.New(render.Options{})
	files := treeOf(map[string]string{"apps/a.yaml": configMap("a", "one")})
	empty := files
	empty.files = nil
	input := render.Input{Owner: owner, Tree: empty, Path: "apps"}
	if _, err := renderer.Render(context.Background(), input); err == nil {
		t.Fatal("a tree that cannot be read gave objects")
	}
	input.Tree = files
	if output := mustGet(t, renderer, input); len(output.Objects) != 1 {
		t.Error("the error outlived its cause")
	}
}

// countedTree counts how often a file is read.
type countedTree struct {
	memTree
	reads *int
}

func (t countedTree) Read(name string) ([]byte, error) {
	*t.reads++
	return t.memTree.Read(name)
}

func TestRenderForgets(t *testing.T) {
	files := treeOf(map[string]string{"apps/a.yaml": configMap("a", "one")})
	input := render.Input{Owner: owner, Tree: files, Path: "apps"}
	for why, renderer := range map[string]*render.Renderer{
		"the unit is gone": render.New(render.Options{}), "there is no room": render.New(render.Options{CacheBytes: 1}),
	} {
		mustGet(t, renderer, input)
		if why == "the unit is gone" {
			renderer.Forget(owner)
		}
		if mustGet(t, renderer, input).Cached {
			t.Errorf("%s, but the output was kept", why)
		}
	}
}

func TestRenderStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	files := treeOf(map[string]string{"apps/a.yaml": configMap("a", "one")})
	renderer := render.New(render.Options{})
	input := render.Input{Owner: owner, Tree: files, Path: "apps"}
	if _, err := renderer.Render(ctx, input); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
	if output := mustGet(t, renderer, input); output.Cached || len(output.Objects) != 1 {
		t.Error("what was stopped was remembered")
	}
}

func TestRenderLimits(t *testing.T) {
	files := treeOf(map[string]string{"apps/a.yaml": configMap("a", "one") + "---\n" + configMap("b", "one")})
	for says, limits := range map[string]manifest.Limits{
		"too large": {FileBytes: 10}, "too much": {TotalBytes: 10}, "too many objects": {Objects: 1}, "too deep": {Depth: 1},
	} {
		_, err := render.New(render.Options{Limits: limits}).Render(context.Background(), render.Input{Owner: owner, Tree: files, Path: "apps"})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("limits %+v: error %v, want %q", limits, err, says)
		}
	}
}

func TestRenderConcurrently(t *testing.T) {
	schema, err := os.ReadFile(filepath.Join("testdata", "own-schema.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, file := range txtar.Parse(schema).Files {
		if name, inTree := strings.CutPrefix(file.Name, "tree/"); inTree {
			files["schema/"+name] = string(file.Data)
		}
	}
	for i := range 8 {
		files[fmt.Sprintf("unit%d/a.yaml", i)] = configMap("a", fmt.Sprint(i)) + "---\n" + deployment("web", "nginx")
		files[fmt.Sprintf("unit%d/kustomization.yaml", i)] = "namespace: x\nnamePrefix: p-\nresources: [a.yaml]\n"
	}
	at := treeOf(files)
	renderer := render.New(render.Options{})
	var group errgroup.Group
	for worker := range 8 {
		group.Go(func() error {
			for i := range 12 {
				input := render.Input{Tree: at, Path: fmt.Sprintf("unit%d", (worker+i)%8), Owner: object.Owner{Namespace: "x", Name: fmt.Sprint(i % 4)}}
				if i == 6 {
					input.Path, input.Owner.Name = "schema/app", "schema"
				}
				if i%3 == 0 {
					input.Tree = at.with(map[string]string{fmt.Sprintf("unit%d/a.yaml", (worker+i)%8): configMap("a", fmt.Sprint(worker))})
				}
				if _, err := renderer.Render(context.Background(), input); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	output := mustGet(t, renderer, render.Input{Tree: at, Path: "schema/app", Owner: owner})
	if got := string(output.Objects[0].JSON); !strings.Contains(got, `"size":9`) || !strings.Contains(got, `"one"`) {
		t.Errorf("the schema was not used: %s", got)
	}
}
