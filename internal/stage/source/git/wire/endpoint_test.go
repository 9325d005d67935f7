package wire

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for raw, want := range map[string]string{
		"https://Example.org/a/b.git":           "https://example.org/a/b.git",
		"https://user:pass@example.org/a?x=y#z": "https://example.org/a",
		"http://example.org:80/a/":              "http://example.org/a",
		"https://example.org:8443/a":            "https://example.org:8443/a",
		"ssh://git@example.org:2222/~me/a.git":  "ssh://example.org:2222/~me/a.git",
		"https://[::1]:444/a":                   "https://[::1]:444/a",
		"https://[::1]/a%20b":                   "https://[::1]/a%20b",
		"file:///etc":                           "",
		"git://example.org/a":                   "",
		"git@example.org:a":                     "",
		"-oProxyCommand=x":                      "",
		"ssh://-oProxyCommand=x/a":              "",
		"ssh://-x@example.org/a":                "",
		"https://example.org":                   "",
		"https://example.org/":                  "",
		"https:///a":                            "",
		"https://example.org:0/a":               "",
		"https://example.org:99999/a":           "",
		"https://example.org/a\nb":              "",
		"https://example.org/a%0ab":             "",
		"https://example.org/a%00b":             "",
		`https://example.org\@evil/a`:           "",
		"https://example.org/" + big("a", 5000): "",
		"":                                      "",
	} {
		got, err := Parse(raw)
		if (err == nil) != (want != "") || (err == nil && got.String() != want) {
			t.Errorf("%q: got %q and %v, want %q", raw, got, err, want)
		}
	}
}

func big(s string, n int) string { return strings.Repeat(s, n) }

func TestResolve(t *testing.T) {
	parent, err := Parse("https://example.org/group/team/top.git")
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]string{
		"../other.git":            "https://example.org/group/team/other.git",
		"../../x/other.git":       "https://example.org/group/x/other.git",
		"./sub.git":               "https://example.org/group/team/top.git/sub.git",
		"https://other.org/a.git": "https://other.org/a.git",
		"git@other.org:a/b.git":   "ssh://other.org/a/b.git",
		"other.org:/a/b.git":      "ssh://other.org/a/b.git",
		"../../../../etc":         "",
		"../../..":                "",
		"/etc/passwd":             "",
		"a/b":                     "",
		"-x:y":                    "",
		"ext::sh -c id":           "",
		"file:///etc":             "",
		"../a\nb":                 "",
		`..\a`:                    "",
	} {
		got, err := parent.Resolve(raw)
		if (err == nil) != (want != "") || (err == nil && got.String() != want) {
			t.Errorf("%q: got %q and %v, want %q", raw, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"https://user:s3cr3t@example.org/a?token=s3cr3t", "ssh://git@h:22/a", "git@h:a", "http://[::1]/a", "https://h/%2e%2e/a", "x://",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		e, err := Parse(raw)
		if err != nil {
			if len(raw) > 12 && strings.Contains(err.Error(), raw) {
				t.Errorf("the error quotes the URL: %v", err)
			}
			return
		}
		shown := e.String()
		if strings.ContainsAny(shown, "@?#\n\x00") && !strings.ContainsAny(e.Path, "@?#") {
			t.Errorf("%q is shown as %q", raw, shown)
		}
		again, err := Parse(shown)
		if err != nil || !again.SameOrigin(e) || again.String() != shown {
			t.Errorf("%q is shown as %q, which is read as %q and %v", raw, shown, again, err)
		}
	})
}

func FuzzResolve(f *testing.F) {
	for _, seed := range []string{"../a", "./a", "../../../..", "git@h:a", "https://x/y", "-x", "..%2f", ".//../.."} {
		f.Add(seed)
	}
	parent, err := Parse("https://example.org/group/top.git")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		e, err := parent.Resolve(raw)
		if err != nil {
			return
		}
		if !strings.HasPrefix(e.Path, "/") || (strings.HasPrefix(raw, "../") && !e.SameOrigin(parent)) {
			t.Errorf("%q leads to %q", raw, e)
		}
	})
}
