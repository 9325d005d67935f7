package condition_test

import (
	"context"
	"encoding/json"
	"testing"

	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/condition"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/variable"
)

func TestCompare(t *testing.T) {
	list := func(items ...any) []any { return items }
	cases := map[string]struct {
		why        string
		key, value any
		operator   string
		want       bool
	}{
		"Wildcard":        {why: "the value may have wildcards", key: "nginx:1", operator: "Equals", value: "nginx:*", want: true},
		"Quantity":        {why: "quantities are compared by what they mean", key: "1Gi", operator: "Equals", value: "1024Mi", want: true},
		"Duration":        {why: "and so are durations", key: "1h", operator: "Equals", value: "60m", want: true},
		"Seconds":         {why: "a number counts seconds beside a duration", key: int64(90), operator: "GreaterThan", value: "1m", want: true},
		"IntFloat":        {why: "a policy's numbers are decoded to another type than an object's", key: int64(3), operator: "Equals", value: float64(3), want: true},
		"IntText":         {why: "a number in a text", key: int64(3), operator: "Equals", value: "3", want: true},
		"NothingEquals":   {why: "nothing equals nothing", key: nil, operator: "Equals", value: nil, want: false},
		"NothingDiffers":  {why: "and does not differ from it", key: nil, operator: "NotEquals", value: "x", want: false},
		"TypesDiffer":     {why: "values of other types differ", key: true, operator: "NotEquals", value: "true", want: true},
		"ListsEqual":      {why: "lists, number by number", key: list(int64(1)), operator: "Equals", value: list(float64(1)), want: true},
		"AnyIn":           {why: "one is enough", key: list("a", "b"), operator: "AnyIn", value: list("b", "c"), want: true},
		"AllIn":           {why: "one is not", key: list("a", "b"), operator: "AllIn", value: list("b", "c"), want: false},
		"AnyNotIn":        {why: "one that is missing is enough", key: list("a", "b"), operator: "AnyNotIn", value: list("b"), want: true},
		"AllNotIn":        {why: "none may be there", key: list("a", "b"), operator: "AllNotIn", value: list("b"), want: false},
		"EmptyAnyNotIn":   {why: "of none, none is missing", key: list(), operator: "AnyNotIn", value: list("b"), want: false},
		"EmptyAllNotIn":   {why: "and none is there", key: list(), operator: "AllNotIn", value: list("b"), want: true},
		"JSONList":        {why: "a text may be a list", key: "b", operator: "AnyIn", value: `["a", "b"]`, want: true},
		"KeyWildcard":     {why: "keys may have wildcards, too", key: "kube-*", operator: "AnyIn", value: list("kube-system"), want: true},
		"Range":           {why: "a range of numbers", key: list("5"), operator: "AllIn", value: "1-10", want: true},
		"OutOfRange":      {why: "outside of it", key: list("50"), operator: "AnyNotIn", value: "1-10", want: true},
		"UselessKey":      {why: "a key of no use is neither in nor out", key: map[string]any{}, operator: "AnyNotIn", value: list("x"), want: false},
		"Version":         {why: "versions are ordered", key: "1.10.0", operator: "GreaterThan", value: "1.9.0", want: true},
		"QuantityOrder":   {why: "quantities are ordered", key: "2Gi", operator: "LessThanOrEquals", value: "1Gi", want: false},
		"DurationOrder":   {why: "the old operators for durations", key: "2h", operator: "DurationGreaterThan", value: "1h", want: true},
		"CaseOfOperators": {why: "operators are read without case", key: "a", operator: "anyin", value: list("a"), want: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := condition.Compare(tc.operator, tc.key, tc.value)
			if err != nil || got != tc.want {
				t.Errorf("%s: %v %s %v is %t, %v", tc.why, tc.key, tc.operator, tc.value, got, err)
			}
		})
	}
	if _, err := condition.Compare("Resembles", "a", "a"); err == nil {
		t.Error("an operator that is not known is no verdict")
	}
	if _, err := condition.Compare("In", list(int64(1)), list("1")); err == nil {
		t.Error("a list of numbers makes In fail, not panic")
	}
}

func TestConditions(t *testing.T) {
	cases := map[string]struct {
		why, in string
		want    bool
		text    string
	}{
		"None":     {why: "none hold", in: `{}`, want: true},
		"Any":      {why: "one of any", in: `{"any": [{"key": "a", "operator": "Equals", "value": "b"}, {"key": "a", "operator": "Equals", "value": "a", "message": "it is a"}]}`, want: true, text: "it is a"},
		"EmptyAny": {why: "an empty any holds for nothing", in: `{"any": []}`, want: false},
		"All":      {why: "all of all", in: `{"all": [{"key": "{{ name }}", "operator": "Equals", "value": "web"}, {"key": "a", "operator": "Equals", "value": "b", "message": "not b"}]}`, want: false, text: "not b"},
		"Bare":     {why: "a bare list, as it was written once", in: `[{"key": "{{ name }}", "operator": "Equals", "value": "web"}]`, want: true},
		"Groups":   {why: "a list of groups", in: `[{"any": [{"key": "a", "operator": "Equals", "value": "a"}]}, {"all": [{"key": "a", "operator": "Equals", "value": "b"}]}]`, want: false},
	}
	language := variable.NewLanguage()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var conditions condition.Conditions
			if err := json.Unmarshal([]byte(tc.in), &conditions); err != nil {
				t.Fatal(err)
			}
			got, text, err := conditions.Hold(variable.NewScope(context.Background(), language, map[string]any{"name": "web"}))
			if err != nil || got != tc.want || text != tc.text {
				t.Errorf("%s: %t %q %v", tc.why, got, text, err)
			}
		})
	}
}
