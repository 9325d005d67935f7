package preview

import (
	"strings"
	"testing"
)

func TestParseSource(t *testing.T) {
	cases := map[string]struct {
		why, text string
		want      Source
		dir       string
		fails     bool
	}{
		"Name":   {why: "a name is enough", text: "infra=../infra", want: Source{Name: "infra"}, dir: "../infra"},
		"Space":  {why: "the same name may be in two namespaces", text: "a/infra=d", want: Source{Namespace: "a", Name: "infra"}, dir: "d"},
		"Kind":   {why: "and in two kinds", text: "OCIRepository/a/infra=d=e", want: Source{Kind: "OCIRepository", Namespace: "a", Name: "infra"}, dir: "d=e"},
		"NoDir":  {why: "a folder is needed", text: "infra=", fails: true},
		"Only":   {why: "a folder is needed", text: "infra", fails: true},
		"NoName": {why: "a name is needed", text: "a/=e", fails: true},
		"Deep":   {why: "there are three parts at most", text: "a/b/c/d=e", fails: true},
	}
	for name, c := range cases {
		source, dir, err := ParseSource(c.text)
		if (err != nil) != c.fails || source != c.want || dir != c.dir {
			t.Errorf("%s: got %v, %q, %v: %s", name, source, dir, err, c.why)
		}
	}
}

func FuzzReading(f *testing.F) {
	for _, seed := range []string{"a/b/c=d", "=", "apiVersion: v1\nkind: X\nmetadata: {name: a}\n---\n", "{}", "[1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if source, dir, err := ParseSource(text); err == nil && (source.Name == "" || dir == "") {
			t.Errorf("source %q has no name or no folder", text)
		}
		objects, err := ReadManifests(strings.NewReader(text))
		for _, u := range objects {
			if err == nil && (u.GetName() == "" || u.GetKind() == "") {
				t.Errorf("an object of %q has no name or no kind", text)
			}
		}
	})
}
