package condition

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"github.com/kyverno/kyverno/ext/wildcard"
	"github.com/kyverno/kyverno/pkg/engine/operator"
	"github.com/kyverno/kyverno/pkg/engine/pattern"
)

// member decides AnyIn, AllIn, AnyNotIn and AllNotIn. A key or a value of no use makes it false, negated
// or not.
func member(op string, key, value any) (bool, error) {
	negated := strings.HasSuffix(op, "notin")
	switch typed := key.(type) {
	case string:
		found, ok := holds(value, typed)
		return ok && found != negated, nil
	case int, int32, int64, float32, float64, bool:
		found, ok := holds(value, fmt.Sprint(typed))
		return ok && found != negated, nil
	case []any:
		return members(op, texts(typed), value), nil
	default:
		return false, nil
	}
}

// members decides for a list of keys.
func members(op string, keys []string, value any) bool {
	if text, ok := value.(string); ok {
		if len(keys) == 1 && keys[0] == text {
			return !strings.HasSuffix(op, "notin")
		}
		if operator.GetOperatorFromStringPattern(text) == operator.InRange {
			return ranged(op, keys, text)
		}
	}
	values, ok := list(value)
	if !ok {
		return false
	}
	return quantify(op, keys, func(key string) bool { return matches(values, key) })
}

// ranged decides for a value such as 1-10.
func ranged(op string, keys []string, text string) bool {
	if op == "anynotin" {
		outside := strings.Replace(text, "-", "!-", 1)
		return slices.ContainsFunc(keys, func(key string) bool { return pattern.Validate(logr.Discard(), key, outside) })
	}
	return quantify(op, keys, func(key string) bool { return pattern.Validate(logr.Discard(), key, text) })
}

func quantify(op string, keys []string, in func(string) bool) bool {
	out := func(key string) bool { return !in(key) }
	switch op {
	case "anyin":
		return slices.ContainsFunc(keys, in)
	case "allin":
		return !slices.ContainsFunc(keys, out)
	case "anynotin":
		return slices.ContainsFunc(keys, out)
	default: // allnotin
		return !slices.ContainsFunc(keys, in)
	}
}

// holds tells whether a value, a list or a text that stands for one, holds a key.
func holds(value any, key string) (found, ok bool) {
	switch typed := value.(type) {
	case []any:
		return matches(texts(typed), key), true
	case string:
		if wildcard.Match(typed, key) {
			return true, true
		}
		if operator.GetOperatorFromStringPattern(typed) == operator.InRange {
			return pattern.Validate(logr.Discard(), key, typed), true
		}
		values, ok := list(value)
		return slices.Contains(values, key), ok
	default:
		return false, false
	}
}

// list reads a value as a list of texts. A text is a JSON list or the only item.
func list(value any) ([]string, bool) {
	switch typed := value.(type) {
	case []any:
		return texts(typed), true
	case int, int32, int64, float32, float64, bool:
		return []string{fmt.Sprint(typed)}, true
	case string:
		if !json.Valid([]byte(typed)) {
			return []string{typed}, true
		}
		var values []string
		err := json.Unmarshal([]byte(typed), &values)
		return values, err == nil
	default:
		return nil, false
	}
}

func texts(items []any) []string {
	values := make([]string, len(items))
	for i, item := range items {
		values[i] = fmt.Sprint(item)
	}
	return values
}

// matches takes wildcards in the key as well as in the values.
func matches(values []string, key string) bool {
	return slices.ContainsFunc(values, func(value string) bool {
		return wildcard.Match(key, value) || wildcard.Match(value, key)
	})
}

// in decides the old operators In and NotIn, which know wildcards for a single key only.
func in(key, value any, negated bool) (bool, error) {
	keys, isList := key.([]any)
	if !isList {
		switch key.(type) {
		case string, int, int32, int64, float32, float64, bool:
		default:
			return false, nil
		}
		if text, ok := value.(string); ok && !wildcard.Match(text, fmt.Sprint(key)) && !json.Valid([]byte(text)) {
			return false, nil
		}
		found, ok := holds(value, fmt.Sprint(key))
		return ok && found != negated, nil
	}
	for _, one := range keys {
		if _, ok := one.(string); !ok {
			return false, fmt.Errorf("comparing a list with a %T in it: In and NotIn take texts", one)
		}
	}
	if text, ok := value.(string); ok && len(keys) == 1 && keys[0] == text {
		return true, nil
	}
	values, ok := list(value)
	if !ok {
		return false, nil
	}
	missing := slices.ContainsFunc(texts(keys), func(one string) bool { return !slices.Contains(values, one) })
	return missing == negated, nil
}
