package schema

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// text is a schema as OpenAPI 3 and CustomResourceDefinitions write it.
type text struct {
	Ref      string          `json:"$ref"`
	Type     string          `json:"type"`
	Format   string          `json:"format"`
	Nullable bool            `json:"nullable"`
	Default  json.RawMessage `json:"default"`
	Enum     []any           `json:"enum"`

	Properties           map[string]json.RawMessage `json:"properties"`
	AdditionalProperties json.RawMessage            `json:"additionalProperties"`
	Required             []string                   `json:"required"`
	MinProperties        *int64                     `json:"minProperties"`
	MaxProperties        *int64                     `json:"maxProperties"`

	Items       json.RawMessage `json:"items"`
	MinItems    *int64          `json:"minItems"`
	MaxItems    *int64          `json:"maxItems"`
	UniqueItems bool            `json:"uniqueItems"`

	Pattern          string   `json:"pattern"`
	MinLength        *int64   `json:"minLength"`
	MaxLength        *int64   `json:"maxLength"`
	Minimum          *float64 `json:"minimum"`
	Maximum          *float64 `json:"maximum"`
	ExclusiveMinimum bool     `json:"exclusiveMinimum"`
	ExclusiveMaximum bool     `json:"exclusiveMaximum"`
	MultipleOf       *float64 `json:"multipleOf"`

	AllOf []json.RawMessage `json:"allOf"`
	AnyOf []json.RawMessage `json:"anyOf"`
	OneOf []json.RawMessage `json:"oneOf"`
	Not   json.RawMessage   `json:"not"`

	Preserve    bool     `json:"x-kubernetes-preserve-unknown-fields"`
	Embedded    bool     `json:"x-kubernetes-embedded-resource"`
	IntOrString bool     `json:"x-kubernetes-int-or-string"`
	ListType    string   `json:"x-kubernetes-list-type"`
	ListKeys    []string `json:"x-kubernetes-list-map-keys"`
}

// deepest bounds schemas as they are written; what is deeper is not judged.
const deepest = 200

// compiler compiles schemas that may refer to each other by name. It is not safe for concurrent use.
type compiler struct {
	named map[string]json.RawMessage
	done  map[string]*node
	// builtin says that the schemas describe Go types of the API server itself.
	builtin bool
}

func (c *compiler) compile(raw json.RawMessage, depth int) (*node, error) {
	if len(raw) == 0 || depth > deepest {
		return nil, nil //nolint:nilnil // nil is the node that allows everything
	}
	var t text
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, fmt.Errorf("reading a schema: %w", err)
	}
	if t.Ref != "" {
		return c.reference(t.Ref, depth)
	}
	if only, ok := t.wrapped(); ok { // a reference with a default beside it
		target, err := c.compile(only, depth+1)
		if err != nil || target == nil || !c.defaults(t) && !t.Nullable {
			return target, err
		}
		copied := *target
		copied.defaults, copied.nullable = copied.defaults || c.defaults(t), copied.nullable || t.Nullable
		return &copied, nil
	}
	n := &node{}
	return n, c.fill(n, t, depth)
}

// lenient are fields that the schemas of built-in kinds ask for and that the server does without.
var lenient = map[string][]string{
	"io.k8s.api.core.v1.LimitRangeSpec": {"limits"}, "io.k8s.api.apps.v1.ControllerRevision": {"revision"},
}

// defaults tells whether a field that is absent gets a value. That of a type of Go which is written as its
// default is none that the server would take for one that is missing.
func (c *compiler) defaults(t text) bool {
	if !c.builtin {
		return len(t.Default) > 0
	}
	switch strings.TrimSpace(string(t.Default)) {
	case "", `""`, "0", "false", "null":
		return false
	default:
		return true
	}
}

// wrapped tells whether a schema only stands around another one.
func (t text) wrapped() (json.RawMessage, bool) {
	if len(t.AllOf) != 1 || t.Type != "" || t.Properties != nil || t.Items != nil || len(t.AnyOf)+len(t.OneOf) > 0 {
		return nil, false
	}
	return t.AllOf[0], true
}

// reference compiles a named schema once; it may refer to itself.
func (c *compiler) reference(ref string, depth int) (*node, error) {
	name := ref[strings.LastIndexByte(ref, '/')+1:]
	if known, found := c.done[name]; found {
		return known, nil
	}
	raw, found := c.named[name]
	if !found {
		return nil, nil //nolint:nilnil // nothing is known of it
	}
	n := &node{}
	c.done[name] = n
	var t text
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, fmt.Errorf("reading the schema %s: %w", name, err)
	}
	if t.Ref != "" || len(t.AllOf) == 1 && t.Type == "" {
		target, err := c.compile(raw, depth+1)
		if err == nil && target != nil {
			*n = *target
		}
		return n, err
	}
	n.meta = strings.HasSuffix(name, ".meta.v1.ObjectMeta")
	if c.builtin {
		t.Required = slices.DeleteFunc(t.Required, func(field string) bool { return slices.Contains(lenient[name], field) })
	}
	if strings.HasSuffix(name, "api.resource.Quantity") {
		t.Format = formatQuantity
	}
	return n, c.fill(n, t, depth+1)
}

// fill compiles what a schema says itself.
func (c *compiler) fill(n *node, t text, depth int) error {
	n.types, n.nullable, n.defaults = typeOf(t.Type), t.Nullable, c.defaults(t)
	if n.types&isNumber != 0 {
		n.types |= isInteger
	}
	n.builtin = c.builtin
	n.format, n.enum = t.Format, t.Enum
	n.open, n.embedded = t.Preserve, t.Embedded
	n.required, n.minProps, n.maxProps = t.Required, t.MinProperties, t.MaxProperties
	n.unique, n.minItems, n.maxItems = t.UniqueItems, t.MinItems, t.MaxItems
	n.minLength, n.maxLength = t.MinLength, t.MaxLength
	n.min, n.max, n.minOpen, n.maxOpen, n.multiple = t.Minimum, t.Maximum, t.ExclusiveMinimum, t.ExclusiveMaximum, t.MultipleOf
	n.set = t.ListType == "set"
	if t.ListType == "map" {
		n.keys = t.ListKeys
	}
	if t.Pattern != "" {
		// What the server cannot compile it does not serve.
		n.pattern, _ = regexp.Compile(t.Pattern)
	}
	if err := c.fields(n, t, depth); err != nil {
		return err
	}
	if t.IntOrString {
		n.types = isInteger | isString
		t.AnyOf = nil
	}
	if union, simple := c.union(t); simple {
		n.types = union
		return nil
	}
	return c.junctors(n, t, depth)
}

// fields compiles what is below an object or a list.
func (c *compiler) fields(n *node, t text, depth int) (err error) {
	if len(t.Properties) > 0 {
		n.fields = make(map[string]*node, len(t.Properties))
	}
	for name, raw := range t.Properties {
		if n.fields[name], err = c.compile(raw, depth+1); err != nil {
			return err
		}
	}
	if n.items, err = c.compile(t.Items, depth+1); err != nil {
		return err
	}
	switch extra := strings.TrimSpace(string(t.AdditionalProperties)); extra {
	case "", "false", "null":
	case "true":
		n.open = true
	default:
		if n.extra, err = c.compile(t.AdditionalProperties, depth+1); n.extra == nil {
			n.open = true
		}
	}
	if c.builtin && n.types == isObject && n.fields == nil && n.extra == nil {
		n.open = true // a type that writes itself, as FieldsV1
	}
	if n.embedded {
		n.open = n.open || n.fields == nil
	}
	return err
}

// union recognises a choice of plain types, as built-in kinds have them for ports and quantities.
func (c *compiler) union(t text) (types, bool) {
	choices := t.OneOf
	if len(choices) == 0 {
		choices = t.AnyOf
	}
	if t.Type != "" || len(choices) == 0 || len(t.AllOf) > 0 || t.Not != nil || len(t.OneOf) > 0 && len(t.AnyOf) > 0 {
		return 0, false
	}
	var union types
	for _, raw := range choices {
		var only map[string]any
		if json.Unmarshal(raw, &only) != nil || len(only) != 1 {
			return 0, false
		}
		name, _ := only["type"].(string)
		one := typeOf(name)
		if one == 0 {
			return 0, false
		}
		if one == isNumber {
			one |= isInteger
		}
		union |= one
	}
	return union, true
}

func (c *compiler) junctors(n *node, t text, depth int) error {
	for _, junctor := range []struct {
		from []json.RawMessage
		to   *[]*node
	}{{t.AllOf, &n.all}, {t.AnyOf, &n.any}, {t.OneOf, &n.one}} {
		for _, raw := range junctor.from {
			below, err := c.compile(raw, depth+1)
			if err != nil {
				return err
			}
			*junctor.to = append(*junctor.to, below)
		}
	}
	var err error
	n.not, err = c.compile(t.Not, depth+1)
	return err
}
