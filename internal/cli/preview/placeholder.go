package preview

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/envsubst/parse"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/render"
)

// fill gives every variable that has neither value nor default a placeholder, and returns their
// names. It looks at the objects as they are before substitution.
func (w *walk) fill(ctx context.Context, input *render.Input) ([]string, error) {
	plain := *input
	plain.Variables = render.Variables{}
	output, err := w.Renderer.Render(ctx, plain)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(input.Variables.Values))
	for name, value := range input.Variables.Values {
		values[name] = value
	}
	var filled []string
	for _, o := range output.Objects {
		var content map[string]any
		if err := json.Unmarshal(o.JSON, &content); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", o.Ref, err)
		}
		if substitutionOff(content) {
			continue
		}
		uses := &uses{object: o, values: values}
		uses.visit(content, nil)
		filled = append(filled, uses.filled...)
	}
	input.Variables.Values = values
	// A unit whose only values are placeholders is substituted, too.
	input.Variables.Enabled = true
	slices.Sort(filled)
	return slices.Compact(filled), nil
}

func substitutionOff(content map[string]any) bool {
	metadata, _ := content["metadata"].(map[string]any)
	for _, field := range []string{"labels", "annotations"} {
		keys, _ := metadata[field].(map[string]any)
		if keys[object.KeySubstitute] == "disabled" {
			return true
		}
	}
	return false
}

// uses finds variables without a value in one object, and gives them one.
type uses struct {
	object object.Object
	values map[string]string
	filled []string
}

// visit looks at a value and all below it. path leads to it: field names, and "" for a list's item.
func (u *uses) visit(value any, path []string) {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range sortedKeys(value) {
			u.text(key, nil)
			u.visit(value[key], append(slices.Clone(path), key))
		}
	case []any:
		for _, item := range value {
			u.visit(item, append(slices.Clone(path), ""))
		}
	case string:
		u.text(value, path)
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// text fills the variables of one text in. Where the text is one variable and nothing else, the
// field's type decides what the placeholder looks like.
func (u *uses) text(text string, path []string) {
	if !strings.Contains(text, "${") {
		return
	}
	parsed, err := parse.Parse(text)
	if err != nil {
		return // the build says so better
	}
	for _, name := range unset(parsed.Root, u.values) {
		placeholder := textFor(name)
		if text == "${"+name+"}" && len(path) > 0 {
			placeholder = u.typed(name, path)
		}
		u.values[name] = placeholder
		u.filled = append(u.filled, name)
	}
}

// unset returns the variables in a parsed text that have neither a value nor a default.
func unset(node parse.Node, values map[string]string) []string {
	var names []string
	switch node := node.(type) {
	case *parse.ListNode:
		for _, part := range node.Nodes {
			names = append(names, unset(part, values)...)
		}
	case *parse.FuncNode:
		_, known := values[node.Param]
		if !known && !strings.ContainsAny(node.Name, "=-+?") && node.Param != "" {
			names = append(names, node.Param)
		}
		for _, argument := range node.Args {
			names = append(names, unset(argument, values)...)
		}
	}
	return names
}

// Placeholder returns the text that stands for a variable without a value, unless a field wants none.
func Placeholder(name string) string { return textFor(name) }

// textFor makes a placeholder that is valid wherever Kubernetes wants a name.
func textFor(name string) string {
	return "missing-" + strings.Trim(strings.ToLower(strings.ReplaceAll(name, "_", "-")), "-")
}

// typed returns the first of a text, a number and a truth value that the field takes. Only the types
// of built-in kinds are known; any other field gets a text.
func (u *uses) typed(name string, path []string) string {
	for _, candidate := range []struct {
		text  string
		value any
	}{{textFor(name), textFor(name)}, {"1", int64(1)}, {"true", true}} {
		typed, err := scheme.Scheme.New(u.object.GVK())
		if err != nil {
			break
		}
		content, ok := nested(path, candidate.value).(map[string]any)
		if ok && runtime.DefaultUnstructuredConverter.FromUnstructured(content, typed) == nil {
			return candidate.text
		}
	}
	return textFor(name)
}

// nested makes an object that holds value at path and nothing else.
func nested(path []string, value any) any {
	for _, step := range slices.Backward(path) {
		if step == "" {
			value = []any{value}
			continue
		}
		value = map[string]any{step: value}
	}
	return value
}
