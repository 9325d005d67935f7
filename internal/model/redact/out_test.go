package redact_test

import (
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/model/redact"
)

func TestOut(t *testing.T) {
	values := []redact.Text{"hunter2", "hunter22", "no", "line one\nline two", `a"quote`, "a&b <c>/?", ""}
	cases := map[string]struct{ why, in, want string }{
		"Plain":    {why: "as it is", in: "password hunter2 is bad", want: "password (secret) is bad"},
		"Longer":   {why: "one that begins with another leaves no rest", in: "hunter22", want: "(secret)"},
		"Encoded":  {why: "as Secrets hold it", in: "aHVudGVyMg==", want: "(secret)"},
		"Quoted":   {why: "as servers write it", in: `"a\"quote"`, want: `"(secret)"`},
		"JSON":     {why: "as encoders write it", in: `"a\u0026b \u003cc\u003e/?"`, want: `"(secret)"`},
		"Address":  {why: "as a query and as a path", in: "?a%26b+%3Cc%3E%2F%3F /a&b%20%3Cc%3E%2F%3F", want: "?(secret) /(secret)"},
		"Hex":      {why: "as digests are written", in: "68756e74657232", want: "(secret)"},
		"Line":     {why: "servers quote lines, too", in: "bad: line two", want: "bad: (secret)"},
		"Short":    {why: "a short one stands alone or says nothing", in: "no, not nobody no", want: "(secret), not nobody (secret)"},
		"Nothing":  {why: "the rest stays", in: "all is well", want: "all is well"},
		"Repeated": {why: "everywhere", in: "hunter2hunter2", want: "(secret)(secret)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := redact.Out(c.in, values); got != c.want {
				t.Errorf("%s: %q, want %q", c.why, got, c.want)
			}
		})
	}
}

func FuzzOut(f *testing.F) {
	f.Add("a hunter2 b", "hunter2")
	f.Add("aaa", "a")
	f.Fuzz(func(t *testing.T, text, value string) {
		if len(value) < 4 || strings.Contains(redact.Placeholder, value) || strings.Contains(value, "(") || strings.Contains(value, ")") {
			return
		}
		if got := redact.Out(text, []redact.Text{redact.Text(value)}); strings.Contains(got, value) {
			t.Errorf("%q is still in %q", value, got)
		}
	})
}
