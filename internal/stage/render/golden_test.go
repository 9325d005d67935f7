package render_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/render"
)

var update = flag.Bool("update", false, "write what is rendered into the golden files")

// TestGolden renders the tree of each archive in testdata. An archive says in its comment why it is
// there. It holds input.yaml with the fields of render.Input, files below tree/, and want.yaml with
// the objects or the error.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { golden(t, name) })
	}
}

func golden(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	input := render.Input{Owner: owner}
	files, want, at := map[string]string{}, "", -1
	for i, file := range archive.Files {
		switch tree, inTree := strings.CutPrefix(file.Name, "tree/"); {
		case inTree:
			files[tree] = string(file.Data)
		case file.Name == "input.yaml":
			if err := yaml.UnmarshalStrict(file.Data, &input); err != nil {
				t.Fatal(err)
			}
		case file.Name == "want.yaml":
			want, at = string(file.Data), i
		}
	}
	input.Tree = treeOf(files)
	got := rendered(t, input)
	if *update {
		if at < 0 {
			archive.Files, at = append(archive.Files, txtar.File{Name: "want.yaml"}), len(archive.Files)
		}
		archive.Files[at].Data = []byte(got)
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("%s(-got +want):\n%s", archive.Comment, diff)
	}
}

func rendered(t *testing.T, input render.Input) string {
	t.Helper()
	output, err := render.New(render.Options{}).Render(context.Background(), input)
	if err != nil {
		return "error: " + err.Error() + "\nreason: " + fault.ReasonOf(err, "") + "\n"
	}
	var text bytes.Buffer
	for _, one := range output.Objects {
		doc, err := yaml.JSONToYAML(one.JSON)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString("# " + one.Source + "\n" + string(doc) + "---\n")
	}
	return text.String()
}
