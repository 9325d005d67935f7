package condition

import (
	"cmp"
	"errors"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/blang/semver/v4"
	"github.com/kyverno/kyverno/ext/wildcard"
	"k8s.io/apimachinery/pkg/api/resource"
)

// number returns a number as the server writes it or as a policy does.
func number(value any) (float64, bool) {
	switch typed := value.(type) {
	case int:
		return float64(typed), true
	case int32:
		return float64(typed), true
	case int64:
		return float64(typed), true
	case float32:
		return float64(typed), true
	case float64:
		return typed, true
	default:
		return 0, false
	}
}

// equal compares two values of one type. Durations and quantities are compared by what they mean, texts
// by the wildcards in the value.
func equal(key, value any) bool {
	same, decided := same(key, value)
	return decided && same
}

// notEqual is the opposite of equal, but for a key of no comparable type, for which neither holds.
func notEqual(key, value any) bool {
	switch key.(type) {
	case bool, int, int64, float64, string, map[string]any, []any:
		same, decided := same(key, value)
		return !decided || !same
	default:
		return false
	}
}

func same(key, value any) (same, decided bool) {
	if a, ok := number(key); ok {
		return sameNumber(key, a, value)
	}
	switch typed := key.(type) {
	case bool:
		other, ok := value.(bool)
		return typed == other, ok
	case string:
		return sameText(typed, value)
	case map[string]any:
		other, ok := value.(map[string]any)
		return ok && deepEqual(typed, other), ok
	case []any:
		other, ok := value.([]any)
		return ok && deepEqual(typed, other), ok
	default:
		return false, false
	}
}

func sameNumber(key any, a float64, value any) (same, decided bool) {
	if b, ok := number(value); ok {
		return a == b, true
	}
	text, ok := value.(string)
	if !ok {
		return false, false
	}
	if _, whole := key.(int64); whole {
		b, err := strconv.ParseInt(text, 10, 64)
		return err == nil && float64(b) == a, err == nil
	}
	b, err := strconv.ParseFloat(text, 64)
	return err == nil && b == a, err == nil
}

func sameText(key string, value any) (same, decided bool) {
	if a, b, err := durations(key, value); err == nil {
		return a == b, true
	}
	text, ok := value.(string)
	if !ok {
		return false, false
	}
	if a, err := resource.ParseQuantity(key); err == nil && text != "" {
		b, err := resource.ParseQuantity(text)
		return err == nil && a.Equal(b), err == nil
	}
	return wildcard.Match(text, key), true
}

// deepEqual takes numbers for equal whichever type they were decoded to.
func deepEqual(a, b any) bool {
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	switch typed := a.(type) {
	case map[string]any:
		other, ok := b.(map[string]any)
		if !ok || len(typed) != len(other) {
			return false
		}
		for key, field := range typed {
			if value, found := other[key]; !found || !deepEqual(field, value) {
				return false
			}
		}
		return true
	case []any:
		other, ok := b.([]any)
		if !ok || len(typed) != len(other) {
			return false
		}
		for i := range typed {
			if !deepEqual(typed[i], other[i]) {
				return false
			}
		}
		return true
	default:
		return reflect.DeepEqual(a, b)
	}
}

func ordered(operator string, order int) bool {
	switch operator {
	case "greaterthan":
		return order > 0
	case "greaterthanorequals":
		return order >= 0
	case "lessthan":
		return order < 0
	case "lessthanorequals":
		return order <= 0
	default:
		return false
	}
}

// numeric orders durations, quantities, numbers and versions.
func numeric(operator string, key, value any) bool {
	if a, b, err := durations(key, value); err == nil {
		return ordered(operator, cmp.Compare(a, b))
	}
	text, isText := key.(string)
	other, both := value.(string)
	if isText && both {
		a, errA := resource.ParseQuantity(text)
		b, errB := resource.ParseQuantity(other)
		if errA == nil && errB == nil {
			return ordered(operator, a.Cmp(b))
		}
	}
	a, ok := loose(key)
	if ok {
		b, ok := loose(value)
		return ok && ordered(operator, cmp.Compare(a, b))
	}
	if !isText || !both {
		return false
	}
	versionA, errA := semver.Parse(text)
	versionB, errB := semver.Parse(other)
	return errA == nil && errB == nil && ordered(operator, versionA.Compare(versionB))
}

// loose reads a number, also out of a text.
func loose(value any) (float64, bool) {
	if a, ok := number(value); ok {
		return a, true
	}
	text, ok := value.(string)
	if !ok {
		return 0, false
	}
	a, err := strconv.ParseFloat(text, 64)
	return a, err == nil && !math.IsNaN(a)
}

// duration orders durations only; a number counts seconds.
func duration(operator string, key, value any) bool {
	a, okA := asDuration(key)
	b, okB := asDuration(value)
	return okA && okB && ordered(operator, cmp.Compare(a, b))
}

func asDuration(value any) (time.Duration, bool) {
	if seconds, ok := number(value); ok {
		return time.Duration(seconds) * time.Second, true
	}
	text, ok := value.(string)
	if !ok {
		return 0, false
	}
	parsed, err := time.ParseDuration(text)
	return parsed, err == nil
}

var errNoDuration = errors.New("not durations")

// durations reads two values as durations where at least one of them is written as one.
func durations(key, value any) (a, b time.Duration, err error) {
	written := func(value any) bool {
		text, ok := value.(string)
		_, bad := time.ParseDuration(text)
		return ok && bad == nil && text != "0"
	}
	isA, isB := written(key), written(value)
	if !isA && !isB {
		return 0, 0, errNoDuration
	}
	for _, one := range []struct {
		is    bool
		value any
		into  *time.Duration
	}{{isA, key, &a}, {isB, value, &b}} {
		if _, text := one.value.(string); text && !one.is {
			return 0, 0, errNoDuration
		}
		parsed, ok := asDuration(one.value)
		if !ok {
			return 0, 0, errNoDuration
		}
		*one.into = parsed
	}
	return a, b, nil
}
