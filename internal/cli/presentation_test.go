package cli

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
