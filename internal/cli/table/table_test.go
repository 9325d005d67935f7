package table

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWriter(t *testing.T) {
	columns := []Column{{Title: "NAME"}, {Title: "URL", Wide: true}, {Title: "READY"}, {Title: "MESSAGE", Shrinks: true}}
	row := func(cells ...string) Row {
		row := make(Row, len(cells))
		for i, cell := range cells {
			row[i].Text = cell
		}
		return row
	}
	cases := map[string]struct {
		why   string
		style Style
		calls [][]Row
		want  string
	}{
		"Aligned": {
			why: "columns line up and no line ends in blanks",
			calls: [][]Row{{
				row("apps", "https://one", "True", "Applied"),
				row("infrastructure", "https://two", "False", ""),
			}},
			want: "NAME             READY   MESSAGE\n" +
				"apps             True    Applied\n" +
				"infrastructure   False\n",
		},
		"Wide": {
			why:   "wide tables show all columns",
			style: Style{Wide: true},
			calls: [][]Row{{row("apps", "https://one", "True", "Applied")}},
			want: "NAME   URL           READY   MESSAGE\n" +
				"apps   https://one   True    Applied\n",
		},
		"Narrow": {
			why:   "on a terminal the message gives way, and says so",
			style: Style{Width: 36, Headless: true},
			calls: [][]Row{{row("apps", "", "True", "Applied revision: main@sha1:0123456789ab")}},
			want:  "apps   True   Applied revision: mai…\n",
		},
		"Hopeless": {
			why:   "a terminal that is far too narrow gets the least that is of use",
			style: Style{Width: 5, Headless: true},
			calls: [][]Row{{row("apps", "", "True", "Applied revision: main")}},
			want:  "apps   True   Applied revisio…\n",
		},
		"Later": {
			why: "rows that come later line up with those before, and no second title is written",
			calls: [][]Row{
				{row("infrastructure", "", "True", "one")},
				{row("apps", "", "True", "two")},
			},
			want: "NAME             READY   MESSAGE\n" +
				"infrastructure   True    one\n" +
				"apps             True    two\n",
		},
		"Hostile": {
			why:   "text from a cluster cannot steer the terminal or break the line",
			style: Style{Headless: true},
			calls: [][]Row{{row("apps", "", "True", "one\ntwo\x1b[2J\r\u202ethree")}},
			want:  "apps   True   one two[2J three\n",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			writer := NewWriter(&out, c.style, columns...)
			for _, rows := range c.calls {
				if err := writer.Write(rows...); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, out.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func TestColoursKeepColumns(t *testing.T) {
	var out strings.Builder
	writer := NewWriter(&out, Style{Colour: true, Headless: true}, Column{}, Column{})
	err := writer.Write(
		Row{{Text: "True", Tone: Good}, {Text: "x"}},
		Row{{Text: "False", Tone: Bad}, {Text: "y"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "\x1b[32mTrue\x1b[0m    x\n\x1b[31mFalse\x1b[0m   y\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("colours take no width (-want +got):\n%s", diff)
	}
}

func TestText(t *testing.T) {
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	cases := map[string]struct{ why, got, want string }{
		"Age":      {"ages are Kubernetes' ages", Age(now.Add(-90*time.Second), now), "90s"},
		"Future":   {"clocks differ", Age(now.Add(time.Second), now), "0s"},
		"NoTime":   {"a missing time is not an age of two thousand years", Age(time.Time{}, now), "<unknown>"},
		"Digest":   {"digests are for machines", ShortDigests("Applied revision: main@sha1:0123456789abcdef0123"), "Applied revision: main@sha1:0123456789ab"},
		"NoDigest": {"short ones stay", ShortDigests("sha1:0123"), "sha1:0123"},
	}
	for name, c := range cases {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q: %s", name, c.got, c.want, c.why)
		}
	}
}
