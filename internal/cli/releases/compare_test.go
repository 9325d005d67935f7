package releases_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/cli/releases"
	"holdfast.dev/holdfast/internal/model/object"
)

func made(t *testing.T, texts ...string) []object.Object {
	t.Helper()
	var set []object.Object
	for _, text := range texts {
		u := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		one, err := object.New(u, "")
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, one)
	}
	return set
}

const secretValue = "aHVudGVyMg=="

func TestCompare(t *testing.T) {
	config := func(color string) string {
		return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"x"},"data":{"color":"` + color + `"}}`
	}
	secret := func(value, annotation string) string {
		return `{"apiVersion":"v1","kind":"Secret","type":"Opaque","metadata":{"name":"s","namespace":"x","annotations":{"last":"` + annotation + `"}},"data":{"password":"` + value + `"}}`
	}
	cases := map[string]struct {
		why           string
		before, after []string
		want          string
	}{
		"Same":    {why: "no difference is said in words", before: []string{config("red")}, after: []string{config("red")}, want: "no difference\n"},
		"Changed": {why: "fields with both values", before: []string{config("red")}, after: []string{config("blue")}, want: "~ ConfigMap/x/a\n    data.color: \"red\" → \"blue\"\n0 added, 1 changed, 0 removed\n"},
		"Added":   {why: "objects that only the second has", after: []string{config("red")}, want: "+ ConfigMap/x/a\n1 added, 0 changed, 0 removed\n"},
		"Removed": {why: "and those that only the first has", before: []string{config("red")}, want: "- ConfigMap/x/a\n0 added, 0 changed, 1 removed\n"},
		"Secret": {
			why:    "values of a Secret are not shown, neither in its data nor where tools keep copies",
			before: []string{secret(secretValue, secretValue)}, after: []string{secret("b3RoZXI=", "other")},
			want: "~ Secret/x/s\n    data.password: another secret value\n    metadata.annotations.last: another secret value\n0 added, 1 changed, 0 removed\n",
		},
		"SecretField": {
			why:    "nor is a value that comes or goes",
			before: []string{`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"x"}}`}, after: []string{secret(secretValue, "x")},
			want: "~ Secret/x/s\n    data: + (secret)\n    metadata.annotations: + (secret)\n    type: + \"Opaque\"\n0 added, 1 changed, 0 removed\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := releases.Compare(made(t, tc.before...), made(t, tc.after...))
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := found.Write(&out, false); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
			raw, err := json.Marshal(found)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(raw), secretValue) {
				t.Errorf("%s: the value is in the JSON", tc.why)
			}
		})
	}
}
