package schema

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"holdfast.dev/holdfast/internal/model/finding"
)

// The rules.
const (
	RuleUnknownField = "schema/unknown-field"
	RuleType         = "schema/type"
	RuleRequired     = "schema/required"
	RuleValue        = "schema/value"      // enum, format, pattern, range, length, combinations
	RuleTwice        = "schema/twice"      // items of a list that must differ
	RuleMetadata     = "schema/metadata"   // names, labels, annotations
	RuleCEL          = "schema/rule"       // a rule of the kind's definition
	RuleDefinition   = "schema/definition" // a definition that the server would not take
	RuleUnknownKind  = "schema/not-evaluated"
)

// mostFindings is how much is said of one object; whoever has more mistakes than that finds them later.
const mostFindings = 25

// verdict gathers what is wrong with one object. Steps of the path are kept apart until something is found.
type verdict struct {
	path  []step
	found []finding.Finding
	meta  *node // of the metadata of any object
	// standins are texts in place of values that are not known.
	standins []string
}

type step struct {
	name  string
	index int // -1 for a field
}

func (v *verdict) full() bool { return len(v.found) >= mostFindings }

// say adds a finding about the field that the path leads to, or one below it, which is written as join does.
func (v *verdict) say(rule, below, message, advice string) {
	if v.full() {
		return
	}
	path := v.here()
	if below != "" && path != "" && !strings.HasPrefix(below, "[") {
		path += "."
	}
	path += below
	v.found = append(v.found, finding.Finding{Rule: rule, Severity: finding.Error, Path: path, Message: message, Advice: advice})
}

// here writes the path.
func (v *verdict) here() string {
	path := ""
	for _, one := range v.path {
		if one.index >= 0 {
			path += "[" + strconv.Itoa(one.index) + "]"
			continue
		}
		path = join(path, one.name)
	}
	return path
}

// join adds a field to a path; names that are no words stand in brackets.
func join(path, name string) string {
	if name == "" || strings.ContainsAny(name, "./[]") {
		return path + "[" + name + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func (v *verdict) below(name string, index int, value any, n *node) {
	v.path = append(v.path, step{name, index})
	v.look(value, n)
	v.path = v.path[:len(v.path)-1]
}

// look judges a value. Nil is a schema that takes everything.
func (v *verdict) look(value any, n *node) {
	if n == nil || v.full() {
		return
	}
	if value == nil {
		if !n.nullable && n.types != 0 && !n.defaults && len(v.path) > 0 && v.path[len(v.path)-1].index >= 0 {
			v.say(RuleType, "", "wants "+n.types.String()+", and is null", "")
		}
		return // a field without a value is a field that is not there
	}
	if text, ok := value.(string); ok && v.standin(text) {
		return
	}
	is := kindOf(value)
	if n.types != 0 && n.types&is == 0 {
		v.say(RuleType, "", fmt.Sprintf("wants %s, not %s", n.types, is), adviceOn(n.types, is))
		return
	}
	switch value := value.(type) {
	case map[string]any:
		v.object(value, n)
	case []any:
		v.list(value, n)
	case string:
		v.text(value, n)
	case int64, float64:
		v.number(value, n)
	}
	v.values(value, n)
}

// encrypted is how SOPS begins a value.
const encrypted = "ENC[AES256_GCM,"

// standin tells whether a text stands for a value that is not known: any value may be right then.
func (v *verdict) standin(text string) bool {
	return strings.HasPrefix(text, encrypted) ||
		slices.ContainsFunc(v.standins, func(one string) bool { return strings.Contains(text, one) })
}

func kindOf(value any) types {
	switch value := value.(type) {
	case map[string]any:
		return isObject
	case []any:
		return isArray
	case string:
		return isString
	case bool:
		return isBoolean
	case float64:
		if value == math.Trunc(value) && math.Abs(value) < 1<<53 {
			return isInteger
		}
		return isNumber
	default:
		return isInteger
	}
}

func adviceOn(wanted, is types) string {
	switch {
	case is == isString && wanted&(isInteger|isNumber|isBoolean) != 0:
		return "take the quotes off"
	case wanted&isString != 0 && is&(isInteger|isNumber|isBoolean) != 0:
		return "put it in quotes"
	case wanted&isArray != 0:
		return "begin each item with a dash"
	default:
		return ""
	}
}

func (v *verdict) object(value map[string]any, n *node) {
	if n.embedded || len(v.path) == 0 {
		v.metadata(value, n)
	}
	if n.meta {
		v.labels(value)
	}
	for _, name := range n.required {
		if held, there := value[name]; there && held != nil && !(n.builtin && held == "" && name != "value") {
			continue // the normal form of a built-in kind has "" where nothing was written
		}
		if field := n.fields[name]; field == nil || !field.defaults {
			v.say(RuleRequired, join("", name), "is missing", "add it")
		}
	}
	names := make([]string, 0, len(value))
	for name := range value {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		field, known := n.known(name)
		if len(v.path) == 0 && name == "sops" {
			continue // an encrypted object, which is opened before it is written
		}
		if wellKnown(name) && (n.embedded || len(v.path) == 0) {
			continue
		}
		if !known && len(n.any)+len(n.one)+len(n.all) == 0 {
			v.say(RuleUnknownField, join("", name), "the kind has no such field", suggestion(n.nearest(name)))
			continue
		}
		v.below(name, -1, value[name], field)
	}
	if count := int64(len(value)); n.minProps != nil && count < *n.minProps || n.maxProps != nil && count > *n.maxProps {
		v.say(RuleValue, "", "has "+strconv.Itoa(len(value))+" fields; "+bounds(n.minProps, n.maxProps), "")
	}
}

func wellKnown(name string) bool { return name == "apiVersion" || name == "kind" || name == "metadata" }

func suggestion(nearest string) string {
	if nearest == "" {
		return "take it away, or look whether it belongs elsewhere"
	}
	return "did you mean " + nearest + "?"
}

// metadata judges what all objects have.
func (v *verdict) metadata(value map[string]any, n *node) {
	if n.embedded && (value["apiVersion"] == nil || value["kind"] == nil) {
		v.say(RuleRequired, "", "is a whole object: apiVersion and kind are missing", "add them")
	}
	if metadata := value["metadata"]; metadata != nil {
		v.below("metadata", -1, metadata, v.meta)
	}
}

func (v *verdict) list(value []any, n *node) {
	for i, item := range value {
		if v.full() {
			return
		}
		v.below("", i, item, n.items)
	}
	if count := int64(len(value)); n.minItems != nil && count < *n.minItems || n.maxItems != nil && count > *n.maxItems {
		v.say(RuleValue, "", "has "+strconv.Itoa(len(value))+" items; "+bounds(n.minItems, n.maxItems), "")
	}
	switch {
	case len(n.keys) > 0:
		v.unlike(value, func(item any) string { return keyOf(item, n.keys, n.items) }, "has the same "+strings.Join(n.keys, " and ")+" as item %d")
	case n.set || n.unique:
		v.unlike(value, func(item any) string { return written(item) }, "is the same as item %d")
	}
}

// unlike demands that items differ.
func (v *verdict) unlike(items []any, key func(any) string, message string) {
	seen := make(map[string]int, len(items))
	for i, item := range items {
		text := key(item)
		if text == "" {
			continue
		}
		if first, twice := seen[text]; twice {
			v.path = append(v.path, step{"", i})
			v.say(RuleTwice, "", fmt.Sprintf(message, first), "take one of them away")
			v.path = v.path[:len(v.path)-1]
			continue
		}
		seen[text] = i
	}
}

// keyOf writes the keys of an item, "" where one is missing that has no default.
func keyOf(item any, keys []string, n *node) string {
	fields, ok := item.(map[string]any)
	if !ok {
		return ""
	}
	var text strings.Builder
	for _, key := range keys {
		value := fields[key]
		if value == nil && (n == nil || n.fields[key] == nil || !n.fields[key].defaults) {
			return ""
		}
		text.WriteString(written(value) + "\x00")
	}
	return text.String()
}

func bounds(least, most *int64) string {
	switch {
	case least == nil:
		return fmt.Sprintf("at most %d are allowed", *most)
	case most == nil:
		return fmt.Sprintf("at least %d are needed", *least)
	default:
		return fmt.Sprintf("there must be %d to %d", *least, *most)
	}
}
