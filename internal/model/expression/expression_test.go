package expression_test

import (
	"context"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/model/expression"
)

var unit = map[string]any{
	"metadata": map[string]any{"name": "apps", "generation": int64(3), "labels": map[string]any{"a": "b"}},
	"status": map[string]any{
		"observedGeneration": int64(3),
		"conditions":         []any{map[string]any{"type": "Ready", "status": "True", "reason": "Done"}},
	},
}

func TestBool(t *testing.T) {
	both := expression.Options{Objects: []string{"self", "dep"}}
	pair := map[string]any{"self": unit, "dep": unit}
	tests := map[string]struct {
		why, text string
		options   expression.Options
		data      map[string]any
		want      bool
		err       string // part of the error, of compiling or evaluating
	}{
		"Fields":          {why: "top-level fields are variables", text: "metadata.name == 'apps'", data: unit, want: true},
		"False":           {why: "no is an answer", text: "metadata.name == 'x'", data: unit},
		"Exists":          {why: "the usual way to ask for a condition", text: "status.conditions.exists(e, e.type == 'Ready' && e.status == 'True')", data: unit, want: true},
		"Filter":          {why: "Flux's documentation asks like this", text: "status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')", data: unit, want: true},
		"Numbers":         {why: "JSON numbers compare across types", text: "metadata.generation == 3.0 && metadata.generation > 2u", data: unit, want: true},
		"Optional":        {why: "optional types are on", text: "status.?phase.orValue('none') == 'none'", data: unit, want: true},
		"Strings":         {why: "the strings extension is on", text: "metadata.name.upperAscii() == 'APPS'", data: unit, want: true},
		"Sets":            {why: "the sets extension is on", text: "sets.contains(['a', 'b'], ['a'])", data: unit, want: true},
		"Encoders":        {why: "the encoders extension is on", text: "base64.encode(b'a') == 'YQ=='", data: unit, want: true},
		"MissingField":    {why: "undecided", text: "status.phase == 'x'", data: unit, err: "no such key: phase"},
		"MissingVariable": {why: "undecided", text: "spec.x == 'x'", data: unit, err: "no such attribute"},
		"NotBool":         {why: "an answer to another question", text: "metadata.name", data: unit, err: "is of type string, not bool"},
		"Syntax":          {why: "shown to the author", text: "metadata.name ==", err: "Syntax error"},
		"Empty":           {why: "nothing to ask", text: "", err: "Syntax error"},
		"SelfAndDep":      {why: "a dependency compared with the unit", text: "self.metadata.labels['a'] == dep.metadata.labels['a']", options: both, data: pair, want: true},
		"Ready":           {why: "the example in Flux's documentation", text: "dep.status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True') && dep.metadata.generation == dep.status.observedGeneration", options: both, data: pair, want: true},
		"Undeclared":      {why: "a typing mistake shows at once", text: "other.metadata.name == 'a'", options: both, err: "undeclared reference to 'other'"},
		"NotAQuestion":    {why: "shows at once", text: "dep.metadata.name", options: both, err: "is of type dyn, not bool"},
		"TooLong":         {why: "expressions are hostile input", text: "'" + strings.Repeat("a", 70_000) + "' == ''", err: "the limit is"},
		"TooDeep":         {why: "as above", text: strings.Repeat("(", 1000) + "true" + strings.Repeat(")", 1000), err: "expression recursion limit exceeded"},
		"TooCostly":       {why: "as above", text: costly(), data: unit, err: "cost limit exceeded"},
		"NotText":         {why: "as above", text: "'\xff' == ''", err: "not valid UTF-8"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := evaluate(t.Context(), test.text, test.options, test.data)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %t and error %v, want %q: %s", got, err, test.err, test.why)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("got %t and error %v, want %t: %s", got, err, test.want, test.why)
			}
		})
	}
}

func evaluate(ctx context.Context, text string, options expression.Options, data map[string]any) (bool, error) {
	compiled, err := expression.Compile(text, options)
	if err != nil {
		return false, err
	}
	return compiled.Bool(ctx, data)
}

// costly nests loops over ten items, ten million steps in all.
func costly() string {
	text := "true"
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		text = "[0,1,2,3,4,5,6,7,8,9].all(" + name + ", " + text + ")"
	}
	return text
}

func TestBoolObeysItsContext(t *testing.T) {
	compiled, err := expression.Compile("items.all(a, a == 0)", expression.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	items := make([]any, 1000)
	for i := range items {
		items[i] = int64(0)
	}
	if _, err := compiled.Bool(ctx, map[string]any{"items": items}); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("got error %v", err)
	}
}

func FuzzExpression(f *testing.F) {
	for _, text := range []string{"metadata.name == 'apps'", "status.?a.orValue(1) == 1", "[1].map(x, x / 0) == []", "'a'.matches('(a+)+$')", "duration('1s') > duration('x')"} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, checked bool) {
		options := expression.Options{}
		if checked {
			options.Objects = []string{"metadata", "status"}
		}
		compiled, err := expression.Compile(text, options)
		if err != nil {
			return
		}
		_, _ = compiled.Bool(t.Context(), unit) // must come back, and not panic
	})
}
