package confine_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render/confine"
	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

type memTree struct {
	index *tree.Index
	files map[string]string
}

func treeOf(files map[string]string) memTree {
	var entries []tree.Entry
	for name, content := range files {
		entries = append(entries, tree.Entry{Path: name, Hash: manifest.HashBytes([]byte(content)), Size: int64(len(content))})
	}
	return memTree{tree.NewIndex(entries), files}
}

func (t memTree) Revision() string   { return "test" }
func (t memTree) Digest() string     { return "test" }
func (t memTree) Index() *tree.Index { return t.index }

func (t memTree) Read(name string) ([]byte, error) {
	if content, found := t.files[name]; found {
		return []byte(content), nil
	}
	return nil, fs.ErrNotExist
}

func open(files map[string]string) *confine.Files {
	return confine.Open(context.Background(), treeOf(files), manifest.Limits{}.WithDefaults())
}

func TestFilesStayInTheTree(t *testing.T) {
	f := open(map[string]string{"a/x.yaml": "in"})
	for name, want := range map[string]string{
		confine.Outside("a/x.yaml"): "in", confine.Outside("a/../a/./x.yaml"): "in",
		"/etc/passwd": "", "a/x.yaml": "", confine.Outside("..") + "/etc/passwd": "", confine.Outside("a"): "", "/tree-other/x": "", "": "",
	} {
		got, err := f.ReadFile(name)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("reading %q: got %q, %v", name, got, err)
		}
		if want == "" && name != confine.Outside("a") && (f.Exists(name) || f.IsDir(name)) {
			t.Errorf("%q exists", name)
		}
	}
	if _, _, err := f.CleanedAbs("/etc"); err == nil {
		t.Error("a directory outside is confirmed")
	}
	for what, err := range map[string]error{
		"write": f.WriteFile(confine.Outside("y"), nil), "mkdir": f.Mkdir(confine.Outside("y")), "remove": f.RemoveAll(confine.Outside("a")), "mkdirall": f.MkdirAll(confine.Outside("y")),
	} {
		if err == nil {
			t.Errorf("%s changed the tree", what)
		}
	}
	if _, err := f.ReadFile(confine.Outside("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestRemoteNames(t *testing.T) {
	for name, want := range map[string]struct{ fetches, clones bool }{
		"a.yaml": {}, "../base": {}, "./http/x": {}, "org/repo": {}, "apps//web": {}, "x:y": {},
		"http://example.org/x": {true, true}, "HTTPS://example.org/x": {true, true}, "ssh://git@example.org/x": {false, true}, "file:///etc": {false, true},
		"git@example.org:org/repo": {false, true}, "user@host/x": {false, true}, "github.com/org/repo": {false, true}, "GitHub.com:org/repo": {false, true}, "git::https://example.org/x": {false, true},
	} {
		if got := confine.FetchesURL(name); got != want.fetches {
			t.Errorf("%s fetches: %v", name, got)
		}
		if got := confine.ClonesRepository(name); got != want.clones {
			t.Errorf("%s clones: %v", name, got)
		}
	}
}

func TestGuardRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, says string }{
		"base":          {"resources: ['https://example.org/x']", "remote"},
		"old base":      {"bases: ['git@example.org:org/repo']", "remote"},
		"component":     {"components: ['github.com/org/repo']", "remote"},
		"patch":         {"patches: [{path: 'http://example.org/x'}]", "remote"},
		"old patch":     {"patchesStrategicMerge: ['http://example.org/x']", "remote"},
		"json patch":    {"patchesJson6902: [{path: 'http://example.org/x'}]", "remote"},
		"crd":           {"crds: ['http://example.org/x']", "remote"},
		"configuration": {"configurations: ['http://example.org/x']", "remote"},
		"openapi":       {"openapi: {path: 'http://example.org/x'}", "remote"},
		"replacement":   {"replacements: [{path: 'http://example.org/x'}]", "remote"},
		"generator":     {"configMapGenerator: [{name: a, files: ['k=http://example.org/x']}]", "remote"},
		"secrets":       {"secretGenerator: [{name: a, envs: ['http://example.org/x']}]", "remote"},
		"plugin":        {"generators: ['http://example.org/x']", "remote"},
		"inline plugin": {"transformers: ['{apiVersion: builtin, kind: PatchTransformer, metadata: {name: a}, path: \"http://example.org/x\"}']", "remote"},
		"plugin files":  {"generators: ['{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: a}, files: [\"http://example.org/x\"]}']", "remote"},
		"plugin dir":    {"transformers: [dir]", "may only have resources"},
		"plugin nested": {"validators: [plain]", "remote"},
		"charts":        {"helmCharts: [{name: a}]", "helmCharts"},
		"bomb":          {"patches: [{patch: 'a: &a [*a]'}]", "alias"},
		"schema":        {"openapi: {version: v1}", "openapi"},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(map[string]string{
				"kustomization.yaml": test.text, "dir/kustomization.yaml": "namePrefix: x\nresources: [a.yaml]\n",
				"plain/kustomization.yaml": "resources: [a.yaml]\n", "plain/a.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: a}\npath: https://example.org\n",
			})
			if _, err := f.ReadFile(confine.Outside("kustomization.yaml")); err == nil || !strings.Contains(err.Error(), test.says) || f.Refused == nil {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

func TestGuardHidesCredentials(t *testing.T) {
	f := open(map[string]string{"kustomization.yaml": "resources: ['https://user:hunter2@example.org/org/repo?token=hunter2']"})
	if _, err := f.ReadFile(confine.Outside("kustomization.yaml")); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

func TestTraceHolds(t *testing.T) {
	files := map[string]string{"a/x.yaml": "1", "a/sub/y.yaml": "2", "b": "3"}
	f := open(files)
	_, _ = f.ReadFile(confine.Outside("a/x.yaml"))
	f.Exists(confine.Outside("none"))
	f.Manifests("a")
	for why, test := range map[string]struct {
		path, content string
		holds         bool
	}{
		"something else changed":  {"b", "changed", true},
		"no manifest is new":      {"a/notes.txt", "new", true},
		"the content changed":     {"a/x.yaml", "changed", false},
		"what was absent came":    {"none", "new", false},
		"a manifest is new":       {"a/sub/z.yml", "new", false},
		"a kustomization is new":  {"a/sub/kustomization.yaml", "new", false},
		"a file that only counts": {"a/sub/y.yaml", "changed", true},
	} {
		changed := map[string]string{test.path: test.content}
		for name, content := range files {
			if name != test.path {
				changed[name] = content
			}
		}
		if got := f.Trace.Holds(treeOf(changed).index); got != test.holds {
			t.Errorf("%s: holds %v, want %v", why, got, test.holds)
		}
	}
}
