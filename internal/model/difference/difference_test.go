package difference_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/difference"
)

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestBetween(t *testing.T) {
	cases := map[string]struct {
		why           string
		before, after string
		want          []string // path: before → after
		wanted        []string // paths of Wanted
	}{
		"Equal":     {why: "nothing differs", before: `{"a":{"b":[1,2]}}`, after: `{"a":{"b":[1,2]}}`},
		"Scalar":    {why: "a value changed", before: `{"a":{"b":1}}`, after: `{"a":{"b":2}}`, want: []string{".a.b"}, wanted: []string{".a.b"}},
		"Added":     {why: "what only the other side has is not wanted", before: `{"a":1}`, after: `{"a":1,"b":2}`, want: []string{".b"}},
		"Removed":   {why: "what is missing is", before: `{"a":1,"b":2}`, after: `{"a":1}`, want: []string{".b"}, wanted: []string{".b"}},
		"Named":     {why: "items are matched by name, wherever they are", before: `{"c":[{"name":"x","i":1},{"name":"y","i":1}]}`, after: `{"c":[{"name":"y","i":2},{"name":"x","i":1}]}`, want: []string{".c[y].i"}, wanted: []string{".c[y].i"}},
		"NamedMore": {why: "a further item is told of as a whole", before: `{"c":[{"name":"x"}]}`, after: `{"c":[{"name":"x"},{"name":"z"}]}`, want: []string{".c[z]"}},
		"Placed":    {why: "others by place", before: `{"c":[1,2]}`, after: `{"c":[1,3,4]}`, want: []string{".c[1]", ".c[2]"}, wanted: []string{".c[1]"}},
		"Twins":     {why: "names that are there twice are no names", before: `{"c":[{"name":"x","i":1},{"name":"x","i":2}]}`, after: `{"c":[{"name":"x","i":1},{"name":"x","i":3}]}`, want: []string{".c[1].i"}, wanted: []string{".c[1].i"}},
		"Kind":      {why: "a map that became a list is one difference", before: `{"a":{"b":1}}`, after: `{"a":[1]}`, want: []string{".a"}, wanted: []string{".a"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before, after := decode(t, tc.before), decode(t, tc.after)
			var paths []string
			for _, field := range difference.Between(before, after) {
				paths = append(paths, field.Path)
			}
			if diff := cmp.Diff(tc.want, paths); diff != "" {
				t.Errorf("%s: between (-want +got):\n%s", tc.why, diff)
			}
			if diff := cmp.Diff(tc.wanted, difference.Wanted(before, after, 20)); diff != "" {
				t.Errorf("%s: wanted (-want +got):\n%s", tc.why, diff)
			}
		})
	}
	if got := difference.Wanted(decode(t, `{"a":1,"b":2,"c":3}`), nil, 2); len(got) != 2 {
		t.Errorf("the limit is not kept: %v", got)
	}
}
