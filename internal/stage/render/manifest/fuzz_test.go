package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzDocuments looks for files of which a document alone is not read as it is in the whole.
func FuzzDocuments(f *testing.F) {
	one := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  text: |\n    line\n"
	for _, seed := range []string{
		one, one + "---\n" + one, "---\n" + one, one + "--- # next\n---\n" + one, one + "\n---", strings.ReplaceAll(one+"---\n"+one, "\n", "\r\n"),
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: a}}\n---\n" + one,
		one + "---\napiVersion: v1\nkind: ConfigMapList\nitems: []\n", one + "---\n# nothing\n---\n" + one + "...\n", "a: &a [*a]", "--- x\n" + one,
		one + "---\n" + strings.TrimSuffix(one, "\n"), "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"a\"}}",
	} {
		f.Add(seed)
	}
	limits := Limits{}.WithDefaults()
	f.Fuzz(func(t *testing.T, text string) {
		known := Read([]byte(text), limits)
		if known.Err != nil {
			return // kustomize itself would crash of some of these
		}
		want, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("kustomize: %v", err)
		}
		texts, err := Split([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for number, doc := range known.Docs {
			alone := []byte(text)
			if len(known.Docs) > 1 {
				alone = Join(texts, []int{number})
			}
			got, err := Parse(alone)
			if err != nil {
				t.Fatalf("document %d alone: %v", number, err)
			}
			if len(got) != len(doc.Objects) || at+len(got) > len(want) {
				t.Fatalf("document %d alone has %d objects, want %d", number, len(got), len(doc.Objects))
			}
			for i := range got {
				if diff := cmp.Diff(got[i].MustString(), want[at+i].MustString()); diff != "" {
					t.Fatalf("document %d (-alone +whole):\n%s", number, diff)
				}
			}
			at += len(got)
		}
		if at != len(want) {
			t.Fatalf("%d objects in the documents, want %d", at, len(want))
		}
	})
}
