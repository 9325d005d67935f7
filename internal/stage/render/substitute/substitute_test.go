package substitute_test

import (
	"errors"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/stage/render/substitute"
)

var values = map[string]string{"NAME": "web", "EMPTY": "", "LINES": "one\ntwo\n", "NUMBER": "5", "_x1": "under", "PATH": "a/b/c.tar.gz"}

func TestIn(t *testing.T) {
	cases := map[string]struct{ why, text, want string }{
		"Plain":          {"the usual form", "a ${NAME} b", "a web b"},
		"NoBraces":       {"only braces make a variable", "$NAME $$ $", "$NAME $ $"},
		"Escape":         {"two dollars are one", "$${NAME} $$NAME", "${NAME} $NAME"},
		"Default":        {"all forms mean: empty or unset", "${A:-x}${A=x}${A:=x}${EMPTY=x}${EMPTY:-x}", "xxxxx"},
		"NotBash":        {"these act as defaults, too", "${A:+x}${A:?x}${NAME:+x}", "xxweb"},
		"DefaultDollars": {"a hash comes out whole", "${p:=$2a$10$N9qo8uLOickgx2ZMRZoMye}", "$2a$10$N9qo8uLOickgx2ZMRZoMye"},
		"Nested":         {"a default may be a variable", "${A:-${B:-${NAME}}}", "web"},
		"Length":         {"", "${#NAME}", "3"},
		"Case":           {"", "${NAME^}${NAME^^}${NAME,}${NAME,,}", "WebWEBwebweb"},
		"Substring":      {"a negative length counts from the end", "${PATH:2}|${PATH:2:1}|${PATH:0:-7}|${PATH:99}", "b/c.tar.gz|b|a/b/c|"},
		"Strip":          {"", "${PATH#*/}|${PATH##*/}|${PATH%.*}|${PATH%%.*}", "b/c.tar.gz|c.tar.gz|a/b/c.tar|a/b/c"},
		"Replace":        {"", "${PATH/a/x}|${PATH//a/x}|${PATH/#a/x}|${PATH/%gz/x}", "x/b/c.tar.gz|x/b/c.txr.gz|x/b/c.tar.gz|a/b/c.tar.x"},
		"Newlines":       {"newlines in values are taken out", "${LINES}", "onetwo"},
		"Underscore":     {"names may begin with one", "${_x1}", "under"},
		"Nothing":        {"a text without variables stays", "just text", "just text"},
		"Unicode":        {"", "ä${NAME}ö", "äwebö"},
	}
	variables, err := substitute.New(values, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if got, err := variables.In(test.text); err != nil || got != test.want {
				t.Errorf("%s: %q became %q, want %q; error %v", test.why, test.text, got, test.want, err)
			}
		})
	}
}

func TestInRefuses(t *testing.T) {
	long := strings.Repeat("a", 1<<20)
	all := map[string]string{"LONG": long, "SECRET": "hunter2"}
	cases := map[string]struct {
		why, text, says string
		unset           bool
	}{
		"Unset":    {why: "a typing mistake must not become an empty string", text: "${SECRET} ${MISSING}", says: "MISSING", unset: true},
		"UnsetLen": {why: "a form that reads the value needs one", text: "${#MISSING}", says: "MISSING", unset: true},
		"Open":     {why: "braces must close", text: "${SECRET", says: "variable expression"},
		"Growth":   {why: "a replacement could fill the memory", text: "${LONG//a/" + strings.Repeat("b", 1000) + "}", says: "LONG"},
		"Trim":     {why: "a pattern on a long value could take hours", text: "${LONG##*b}", says: "LONG"},
		"Many":     {why: "so could very many expressions", text: strings.Repeat("${SECRET}", 30_000), says: "more than"},
		"Sum":      {why: "and the sum of many values", text: strings.Repeat("${LONG}", 20), says: "larger"},
		"Overflow": {why: "an offset that overflows must not crash", text: "${SECRET:3:9223372036854775807}", says: "cannot be evaluated"},
	}
	variables, err := substitute.New(all, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := variables.In(test.text)
			if err == nil {
				t.Fatalf("%s: got %d bytes", test.why, len(got))
			}
			if !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: error %q", test.why, err)
			}
			if errors.Is(err, substitute.ErrUnset) != test.unset {
				t.Errorf("%s: error %q is unset: %v", test.why, err, !test.unset)
			}
		})
	}
}

func TestNewRefusesNames(t *testing.T) {
	for _, name := range []string{"", "1a", "a-b", "a b", "a.b", "ä"} {
		if _, err := substitute.New(map[string]string{name: "hunter2"}, false); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("name %q: error %v", name, err)
		}
	}
}

func TestLenient(t *testing.T) {
	variables, err := substitute.New(nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := variables.In("a${MISSING}b"); err != nil || got != "ab" {
		t.Errorf("got %q, %v", got, err)
	}
}

// FuzzIn looks for text that crashes, grows without bound, or changes although nothing concerns it.
func FuzzIn(f *testing.F) {
	for _, seed := range []string{
		"${NAME}", "$${x}", "${p:=$2a$10$x}", "${NAME:1:-1}", "${NAME//e/${NUMBER}}", "${#NAME}", "${NAME%%*}", "$", "${", "${a:-${b", "\\/${NAME/\\//x}", "a\x00${NAME}",
	} {
		f.Add(seed)
	}
	variables, err := substitute.New(values, true)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := variables.In(text)
		if err == nil && len(got) > 16<<20 {
			t.Errorf("%d bytes", len(got))
		}
		if !strings.ContainsRune(text, 0) && !substitute.Concerns([]byte(text)) && (err != nil || got != text) {
			t.Errorf("%q does not concern substitution, but became %q, %v", text, got, err)
		}
	})
}
