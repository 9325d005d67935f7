package variable_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/variable"
)

func data() map[string]any {
	return map[string]any{
		"request": map[string]any{"operation": "CREATE", "object": map[string]any{
			"metadata": map[string]any{"name": "web", "labels": map[string]any{"app": "shop"}},
			"spec":     map[string]any{"replicas": int64(3), "image": "{{ request.object.metadata.name }}"},
		}},
		"loop": "{{ loop }}",
	}
}

func TestSubstitute(t *testing.T) {
	type doc = map[string]any
	cases := map[string]struct {
		why  string
		in   any
		want any
		fail string
	}{
		"Plain":     {why: "what has no variables stays", in: doc{"a": []any{"b", int64(1), nil}}, want: doc{"a": []any{"b", int64(1), nil}}},
		"Typed":     {why: "a variable alone keeps its type", in: "{{ request.object.spec.replicas }}", want: int64(3)},
		"Inside":    {why: "in a text it becomes text", in: "x-{{request.object.metadata.name}}-{{ request.object.spec.replicas }}", want: "x-web-3"},
		"Key":       {why: "keys have variables, too", in: doc{"{{ request.object.metadata.name }}": "x"}, want: doc{"web": "x"}},
		"Nested":    {why: "what a variable brings is looked through in a text", in: "<{{ request.object.spec.image }}>", want: "<web>"},
		"Shallow":   {why: "unless it is to be taken as it is", in: "<{{- request.object.spec.image }}>", want: "<{{ request.object.metadata.name }}>"},
		"Escaped":   {why: "an escaped variable is none", in: `\{{ name }}`, want: "{{ name }}"},
		"Missing":   {why: "what is not there is an error", in: "{{ request.object.spec.nothing }}", fail: "Unknown key"},
		"Optional":  {why: "unless there is something else", in: "{{ request.object.spec.nothing || 'none' }}", want: "none"},
		"Endless":   {why: "variables that bring themselves end", in: "a{{ loop }}", fail: "without end"},
		"Random":    {why: "chance is refused", in: "{{ random('[a-z]{5}') }}", fail: "refused"},
		"Reference": {why: "a value elsewhere in the document", in: doc{"limits": doc{"memory": "2Gi"}, "requests": doc{"memory": "<=$(./../../limits/memory)"}}, want: doc{"limits": doc{"memory": "2Gi"}, "requests": doc{"memory": "<=2Gi"}}},
		"This":      {why: "the value at the same place in the object", in: doc{"metadata": doc{"name": "{{ @ }}"}}, want: doc{"metadata": doc{"name": "web"}}},
		"Bad":       {why: "an expression that cannot be read", in: "{{ a[ }}", fail: "reading the JMESPath"},
	}
	language := variable.NewLanguage()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := variable.NewScope(context.Background(), language, data()).Substitute(tc.in)
			if tc.fail != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fail) {
					t.Errorf("%s: %v, %v", tc.why, got, err)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%s (-want +got):\n%s%v", tc.why, diff, err)
			}
		})
	}
}

func TestEntries(t *testing.T) {
	scope := variable.NewScope(context.Background(), variable.NewLanguage(), data())
	loads := 0
	value := func(query string) variable.Loader {
		return func(s *variable.Scope) (any, error) { loads++; return s.Query(query) }
	}
	scope.Add("name", value("request.object.metadata.name"))
	scope.Add("name", value("join('-', [name, 'again'])")) // sees the one before it, not itself
	scope.Add("broken", func(*variable.Scope) (any, error) { return nil, errors.New("no cluster") })
	if got, err := scope.Query("name"); got != "web-again" || err != nil {
		t.Errorf("an entry may replace one of its name: %v %v", got, err)
	}
	before := loads
	if _, err := scope.Query("request.object.metadata.name"); err != nil || loads != before {
		t.Errorf("a field of that name is no entry: %v, %d loads", err, loads-before)
	}
	if _, err := scope.Query("broken"); err == nil || !strings.Contains(err.Error(), "no cluster") {
		t.Errorf("an entry that cannot be loaded: %v", err)
	}
	child := scope.Child()
	child.Set("other", "request", "object", "metadata", "name")
	if got, _ := scope.Query("request.object.metadata.name"); got != "web" {
		t.Errorf("what is set in a child ends with it, but there is %v", got)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := variable.NewScope(ended, variable.NewLanguage(), data()).Query("request"); err == nil {
		t.Error("when the time is over, there are no more answers")
	}
}

func FuzzSubstitute(f *testing.F) {
	for _, seed := range []string{"{{ a }}", "{{{{", "$(./a)", "{{ @ }}", `\{{ x }}`, "{{ to_string(@) }}", "$(<=/a/b)"} {
		f.Add(seed, "k")
	}
	language := variable.NewLanguage()
	f.Fuzz(func(_ *testing.T, text, key string) {
		scope := variable.NewScope(context.Background(), language, data())
		_, _ = scope.Substitute(map[string]any{key: text, "l": []any{text}})
	})
}
