package table

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzWriter(f *testing.F) {
	f.Add("one\ntwo", "\x1b[31m", 20)
	f.Add("", "\xff\u202e", 1)
	f.Fuzz(func(t *testing.T, a, b string, width int) {
		var out strings.Builder
		writer := NewWriter(&out, Style{Width: width}, Column{Title: "A", Shrinks: true}, Column{Title: "B", Shrinks: true})
		if err := writer.Write(Row{{Text: a}, {Text: b}}); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if strings.Count(text, "\n") != 2 {
			t.Errorf("a title and one row are two lines, not %q", text)
		}
		if strings.IndexFunc(strings.ReplaceAll(text, "\n", ""), unprintable) >= 0 {
			t.Errorf("%q steers the terminal", text)
		}
		if !utf8.ValidString(text) && utf8.ValidString(a) && utf8.ValidString(b) {
			t.Errorf("%q is no text any more", text)
		}
	})
}
