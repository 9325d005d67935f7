package variable

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/kyverno/kyverno/pkg/engine/anchor"
	"github.com/kyverno/kyverno/pkg/engine/operator"
)

// maxRounds bounds how often what was put in the place of variables is looked through for more of them.
const maxRounds = 32

// The grammar of variables and references is Kyverno's (pkg/engine/variables/regex).
var (
	variables  = regexp.MustCompile(`(^|[^\\])(\{\{(?:\{[^{}]*\}|[^{}])*\}\})`)
	references = regexp.MustCompile(`^\$\(.[^\ ]*\)|[^\\]\$\(.[^\ ]*\)`)
	escaped    = regexp.MustCompile(`\\\$\(.[^\ \)]*\)`)
)

// Substitute returns a copy of a document with values in the place of its variables and references.
func (s *Scope) Substitute(document any) (any, error) {
	walk := walker{scope: s, root: document}
	resolved, err := walk.each(document, "", walk.reference)
	if err != nil {
		return nil, err
	}
	return walk.each(resolved, "", walk.variable)
}

// Text substitutes in a text whose result has to be a text again.
func (s *Scope) Text(text string) (string, error) {
	result, err := s.Substitute(text)
	if err != nil {
		return "", err
	}
	if typed, ok := result.(string); ok {
		return typed, nil
	}
	if err := bounded(result); err != nil {
		return "", err
	}
	raw, err := json.Marshal(result)
	return string(raw), err
}

type walker struct {
	scope *Scope
	root  any
}

// each applies change to the texts of a document, keys included.
func (w walker) each(value any, at string, change func(text, at string) (any, error)) (any, error) {
	switch typed := value.(type) {
	case string:
		return change(typed, at)
	case map[string]any:
		fresh := make(map[string]any, len(typed))
		for key, field := range typed {
			changed, err := change(key, at)
			if err != nil {
				return nil, err
			}
			name, ok := changed.(string)
			if !ok {
				return nil, fmt.Errorf("the key %q at %s does not become a text", key, at)
			}
			if fresh[name], err = w.each(field, at+"/"+strings.ReplaceAll(key, "/", "~1"), change); err != nil {
				return nil, err
			}
		}
		return fresh, nil
	case []any:
		fresh := make([]any, len(typed))
		for i, field := range typed {
			var err error
			if fresh[i], err = w.each(field, at+"/"+strconv.Itoa(i), change); err != nil {
				return nil, err
			}
		}
		return fresh, nil
	default:
		return value, nil
	}
}

// reference resolves $(path) to a value elsewhere in the document.
func (w walker) reference(text, at string) (any, error) {
	if !strings.Contains(text, "$(") {
		return text, nil
	}
	for _, whole := range references.FindAllString(text, -1) {
		prefix, ref := "", whole
		if !strings.HasPrefix(whole, "$(") {
			prefix, ref = whole[:1], whole[1:]
		}
		value, err := w.resolve(ref, at)
		if err != nil {
			return nil, fmt.Errorf("resolving %s at %s: %w", ref, at, err)
		}
		text = strings.Replace(text, whole, prefix+value, 1)
	}
	return escaped.ReplaceAllStringFunc(text, func(found string) string { return found[1:] }), nil
}

func (w walker) resolve(ref, at string) (string, error) {
	target := strings.Trim(ref, "$()")
	op := operator.GetOperatorFromStringPattern(target)
	target = target[len(op):]
	if target == "" {
		return "", errors.New("the reference is empty")
	}
	if !path.IsAbs(target) {
		target = path.Join(at, target)
	}
	var found any
	locate(w.root, "", target, &found)
	switch typed := found.(type) {
	case string:
		return string(op) + typed, nil
	case int, int64:
		return fmt.Sprintf("%s%d", op, typed), nil
	case float64:
		return string(op) + strconv.FormatFloat(typed, 'f', -1, 64), nil
	case nil:
		return "", errors.New("nothing is there")
	default:
		return "", fmt.Errorf("a value of type %T is there", found)
	}
}

// locate finds the leaf at a path in which keys stand without their anchors.
func locate(value any, at, target string, found *any) {
	switch typed := value.(type) {
	case map[string]any:
		for key, field := range typed {
			locate(field, at+"/"+strings.ReplaceAll(key, "/", "~1"), target, found)
		}
	case []any:
		for i, field := range typed {
			locate(field, at+"/"+strconv.Itoa(i), target, found)
		}
	default:
		if anchor.RemoveAnchorsFromPath(at) == target {
			*found = value
		}
	}
}

// variable puts values in the place of {{ variables }}. What they bring is looked through again, unless
// the variable says {{- that it is to be taken as it is.
func (w walker) variable(text, at string) (any, error) {
	for round := 0; ; round++ {
		found := variables.FindAllString(text, -1)
		if len(found) == 0 {
			return strings.ReplaceAll(text, `\{{`, `{{`), nil
		}
		if round == maxRounds {
			return nil, fmt.Errorf("substituting at %s: variables bring variables without end", at)
		}
		shallow, whole, err := w.round(&text, at, found)
		if err != nil || whole != nil {
			if whole == (null{}) {
				whole = nil
			}
			return whole, err
		}
		if len(text) > maxSize {
			return nil, fmt.Errorf("substituting at %s: %w", at, errSize)
		}
		if shallow {
			return strings.ReplaceAll(text, `\{{`, `{{`), nil
		}
	}
}

// null stands for a value that is null, where nil means that there is none.
type null struct{}

// round replaces each variable once. A variable that is the whole text may become any value: whole.
func (w walker) round(text *string, at string, found []string) (shallow bool, whole any, err error) {
	original := *text
	for _, one := range found {
		prefix, variable := "", one
		if !strings.HasPrefix(one, "{{") {
			prefix, variable = one[:1], one[1:]
		}
		query := strings.TrimSpace(strings.NewReplacer("{{", "", "}}", "").Replace(variable))
		if rest, ok := strings.CutPrefix(query, "-"); ok {
			query, shallow = strings.TrimSpace(rest), true
		} else {
			shallow = false
		}
		value, err := w.scope.Query(w.absolute(query, at))
		if err != nil {
			return false, nil, fmt.Errorf("substituting %s at %s: %w", variable, at, err)
		}
		if original == variable {
			if value == nil {
				return false, null{}, nil
			}
			return false, value, nil
		}
		written, err := write(value)
		if err != nil {
			return false, nil, fmt.Errorf("substituting %s at %s: %w", variable, at, err)
		}
		if shallow {
			written = strings.ReplaceAll(written, "{{", `\{{`)
		}
		*text = strings.Replace(*text, prefix+variable, prefix+written, 1)
		if len(*text) > maxSize {
			return false, nil, fmt.Errorf("substituting %s at %s: %w", variable, at, errSize)
		}
	}
	return shallow, nil, nil
}

func write(value any) (string, error) {
	if text, ok := value.(string); ok {
		return text, nil
	}
	if err := bounded(value); err != nil {
		return "", err
	}
	raw, err := json.Marshal(value)
	return string(raw), err
}

// absolute writes @, the value that stands in the object where the variable stands in the document, as a
// path from the root, and looks at the old object where an object is deleted.
func (w walker) absolute(query, at string) string {
	if query == "@" {
		query = "request.object"
		if _, found := w.scope.data["target"]; found {
			query = "target"
		}
		for _, step := range strings.Split(strings.TrimPrefix(anchor.RemoveAnchorsFromPath(at), "/"), "/") {
			if _, err := strconv.Atoi(step); err == nil {
				query += "[" + step + "]"
			} else {
				query += "." + strconv.Quote(strings.ReplaceAll(step, "~1", "/"))
			}
		}
	}
	if w.scope.Operation() == "DELETE" {
		query = strings.ReplaceAll(query, "request.object", "request.oldObject")
	}
	return query
}
