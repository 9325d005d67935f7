package values_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/stage/render/chart/values"
)

func TestMerge(t *testing.T) {
	config := func(text string) values.Reference {
		return values.Reference{Kind: "ConfigMap", Namespace: "apps", Name: "base", Data: []byte(text)}
	}
	at := func(path, text string) values.Reference {
		return values.Reference{Kind: "Secret", Namespace: "apps", Name: "keys", Key: "k", TargetPath: path, Data: []byte(text)}
	}
	literal := at("a.b", "x,y=[1]")
	literal.Literal = true
	gone := values.Reference{Kind: "ConfigMap", Namespace: "apps", Name: "gone", Missing: "resource not found"}
	optional := gone
	optional.Optional = true
	cases := map[string]struct {
		why        string
		references []values.Reference
		own        map[string]any
		want       map[string]any
		wantErr    string
	}{
		"Order":       {why: "later references win", references: []values.Reference{config("a: 1\nb: {c: 1, d: 1}"), config("b: {c: 2}")}, want: map[string]any{"a": 1.0, "b": map[string]any{"c": 2.0, "d": 1.0}}},
		"Own":         {why: "the release's own values win over them", references: []values.Reference{config("a: 1\nb: 1")}, own: map[string]any{"b": "own"}, want: map[string]any{"a": 1.0, "b": "own"}},
		"Target":      {why: "a target path beats all of that", references: []values.Reference{at("b", "single"), config("b: 1")}, own: map[string]any{"b": "own"}, want: map[string]any{"b": "single"}},
		"Deep":        {why: "and makes what is not there", references: []values.Reference{at("a.b[1].c", "x")}, want: map[string]any{"a": map[string]any{"b": []any{nil, map[string]any{"c": "x"}}}}},
		"Types":       {why: "values have types, as on Helm's command line", references: []values.Reference{at("a", "true"), at("b", "7")}, want: map[string]any{"a": true, "b": int64(7)}},
		"Quoted":      {why: "quotes keep them text", references: []values.Reference{at("a", "'7'")}, want: map[string]any{"a": "7"}},
		"Commas":      {why: "commas set more than one", references: []values.Reference{at("a", "x,b=y")}, want: map[string]any{"a": "x", "b": "y"}},
		"Literal":     {why: "unless the value is taken as it is", references: []values.Reference{literal}, want: map[string]any{"a": map[string]any{"b": "x,y=[1]"}}},
		"Missing":     {why: "what must be there is asked for", references: []values.Reference{gone}, wantErr: "could not resolve ConfigMap chart values reference 'apps/gone' with key 'values.yaml': values reference is missing: resource not found"},
		"Optional":    {why: "what may be missing is left out", references: []values.Reference{optional, config("a: 1")}, want: map[string]any{"a": 1.0}},
		"Index":       {why: "lists have an end", references: []values.Reference{at("a[65537]", "x")}, wantErr: "list indexes are too large"},
		"Indexes":     {why: "all together", references: []values.Reference{at("a[60000]", "x,b[60000]=x")}, wantErr: "list indexes are too large"},
		"SecretText":  {why: "a Secret that is no YAML is not quoted", references: []values.Reference{{Kind: "Secret", Namespace: "apps", Name: "keys", Data: []byte("hunter22")}}, wantErr: "its content cannot be used"},
		"Replacement": {why: "a value takes the place of a map, and the other way round", references: []values.Reference{config("a: {b: 1}\nc: 1")}, own: map[string]any{"a": "x", "c": map[string]any{"d": "y"}}, want: map[string]any{"a": "x", "c": map[string]any{"d": "y"}}},
		"Null":        {why: "a null stays, so that Helm takes the chart's own value away", own: map[string]any{"a": nil}, want: map[string]any{"a": nil}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := values.Merge(tc.references, tc.own)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) || strings.Contains(err.Error(), "hunter22") {
					t.Fatalf("%s: error %v, want %q", tc.why, err, tc.wantErr)
				}
				if name == "Missing" && !errors.Is(err, values.ErrMissing) {
					t.Errorf("%v is no ErrMissing", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.why, err)
			}
			if diff := cmp.Diff(tc.want, got.Values); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}

func TestMergeChangesNothing(t *testing.T) {
	own := map[string]any{"a": map[string]any{"b": "own"}}
	reference := values.Reference{Kind: "Secret", Namespace: "apps", Name: "keys", TargetPath: "a.b", Data: []byte("hunter22")}
	merged, err := values.Merge([]values.Reference{reference}, own)
	if err != nil {
		t.Fatal(err)
	}
	if own["a"].(map[string]any)["b"] != "own" { //nolint:forcetypeassert // made above
		t.Error("the release's own values were changed")
	}
	if len(merged.Secret) != 1 || merged.Secret[0].Reveal() != "hunter22" {
		t.Error("the value of a Secret must be known as one")
	}
}

// The digests are those that Flux's chartutil has in its tests.
func TestDigest(t *testing.T) {
	cases := map[string]struct {
		why    string
		values map[string]any
		want   string
	}{
		"Nil":   {why: "the digest of nothing", want: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"Empty": {why: "an empty map is nothing, too", values: map[string]any{}, want: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"Map":   {why: "keys are sorted", values: map[string]any{"replicas": 3, "image": map[string]any{"tag": "latest", "repository": "nginx"}, "ports": []any{map[string]any{"protocol": "TCP", "port": 8080}, map[string]any{"port": 9090, "protocol": "UDP"}}}, want: "sha256:fcdc2b0de1581a3633ada4afee3f918f6eaa5b5ab38c3fef03d5b48d3f85d9f6"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := values.Digest(tc.values)
			if err != nil || got != tc.want {
				t.Errorf("%s: %s, %v, want %s", tc.why, got, err, tc.want)
			}
		})
	}
}

func FuzzMerge(f *testing.F) {
	f.Add("a.b[1]", "x,c=y", false)
	f.Add("a", "{1,2}", true)
	f.Fuzz(func(t *testing.T, path, value string, literal bool) {
		if path == "" {
			return
		}
		reference := values.Reference{Kind: "ConfigMap", TargetPath: path, Data: []byte(value), Literal: literal}
		merged, err := values.Merge([]values.Reference{reference}, map[string]any{"a": map[string]any{"b": []any{"x"}}})
		if err != nil {
			return
		}
		if _, err := values.Digest(merged.Values); err != nil {
			t.Errorf("values without a digest: %v", err)
		}
	})
}
