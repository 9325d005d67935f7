package document_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/secret/document"
)

func TestParsePath(t *testing.T) {
	cases := map[string]struct {
		why  string
		text string
		want document.Path // nil is an error
	}{
		"Dots":       {"keys", "stringData.password", document.Path{"stringData", "password"}},
		"Quoted":     {"keys with dots", `data["tls.key"]`, document.Path{"data", "tls.key"}},
		"Sops":       {"as sops writes it", `["data"]["a b"][3]`, document.Path{"data", "a b", 3}},
		"Item":       {"lists", "users[0].token", document.Path{"users", 0, "token"}},
		"Escaped":    {"quotes in keys", `["a\"b"]`, document.Path{`a"b`}},
		"EmptyKey":   {"a key may be empty, but not by mistake", `[""]`, document.Path{""}},
		"Empty":      {"nothing is no path", "", nil},
		"Trailing":   {"a dot leads somewhere", "a.", nil},
		"Double":     {"to a name", "a..b", nil},
		"Leading":    {"and begins nothing", ".a", nil},
		"Unclosed":   {"brackets end", "a[0", nil},
		"UnclosedQ":  {"quotes end", `a["b`, nil},
		"Negative":   {"lists begin at 0", "a[-1]", nil},
		"Huge":       {"memory is finite", "a[99999999]", nil},
		"Zeros":      {"one way to write a number", "a[007]", nil},
		"Glued":      {"a dot after a bracket", "a[0]b", nil},
		"LoneClose":  {"brackets in keys are quoted", "a]b", nil},
		"NotANumber": {"a bare word in brackets is a mistake", "a[b]", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := document.ParsePath(c.text)
			if (err != nil) != (c.want == nil) {
				t.Fatalf("%s: got %v and %v", c.why, got, err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" && err == nil {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"a.b[0]", `["a"]["b\"c"][12]`, "", "a[", `["`, "a.b.c.d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path, err := document.ParsePath(text)
		if err != nil {
			return
		}
		again, err := document.ParsePath(path.String())
		if err != nil {
			t.Fatalf("%q is written as %q, which cannot be read: %v", text, path.String(), err)
		}
		if diff := cmp.Diff(path, again); diff != "" {
			t.Errorf("%q does not come back (-want +got):\n%s", text, diff)
		}
	})
}

func TestSet(t *testing.T) {
	recipient, _, _ := key(t, false)
	cases := map[string]struct {
		why, path, want string // want is the file after it; "" is an error
	}{
		"New":        {"what is missing is made", "c.d", "a:\n    b: \"1\"\nl:\n    - x\nc:\n    d: v\n"},
		"Replace":    {"a value gives way", "a.b", "a:\n    b: v\nl:\n    - x\n"},
		"Append":     {"a list grows at its end", "l[1]", "a:\n    b: \"1\"\nl:\n    - x\n    - v\n"},
		"Gap":        {"and only there", "l[3]", ""},
		"Structure":  {"a structure is not thrown away", "a", ""},
		"Through":    {"nothing is below a value", "a.b.c", ""},
		"KeyOfList":  {"a list has numbers", "l.x", ""},
		"ItemOfMap":  {"a map has keys", "a[0]", ""},
		"NewList":    {"a new list begins at its beginning", "names[0]", "a:\n    b: \"1\"\nl:\n    - x\nnames:\n    - v\n"},
		"NewListGap": {"and nowhere else", "names[2]", ""},
		"Metadata":   {"the encryption's own key is taken", "sops.mac", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			opened, err := document.Plain("a.yaml", []byte("a:\n    b: \"1\"\nl:\n    - x\n"), ruleFor(t, recipient))
			if err != nil {
				t.Fatal(err)
			}
			path, err := document.ParsePath(c.path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = opened.Set(0, path, "v")
			if (err != nil) != (c.want == "") {
				t.Fatalf("%s: got %v", c.why, err)
			}
			if err != nil {
				return
			}
			plain, err := opened.Plain()
			if diff := cmp.Diff(c.want, string(plain)); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", c.why, err, diff)
			}
		})
	}
}
