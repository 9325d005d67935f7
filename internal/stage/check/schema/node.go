package schema

import (
	"regexp"
	"slices"
	"strings"
)

// types is a set of JSON types.
type types uint8

const (
	isObject types = 1 << iota
	isArray
	isString
	isInteger
	isNumber
	isBoolean
)

var typeNames = []struct {
	one  types
	name string
	text string
}{
	{isObject, "object", "an object"}, {isArray, "array", "a list"}, {isString, "string", "a string"},
	{isInteger, "integer", "an integer"}, {isNumber, "number", "a number"}, {isBoolean, "boolean", "true or false"},
}

func typeOf(name string) types {
	for _, known := range typeNames {
		if known.name == name {
			return known.one
		}
	}
	return 0
}

// String writes what is wanted: "an integer or a string".
func (t types) String() string {
	var words []string
	for _, known := range typeNames {
		if t&known.one != 0 && (known.one != isInteger || t&isNumber == 0) {
			words = append(words, known.text)
		}
	}
	return strings.Join(words, " or ")
}

// node is a compiled schema. Nodes are shared wherever a schema refers to another, and may be cyclic. They
// are immutable once compiled.
type node struct {
	types    types // empty is any
	nullable bool
	defaults bool // a field of it that is absent gets a value

	fields   map[string]*node
	required []string
	extra    *node // of further fields; nil is none
	open     bool  // further fields are left alone
	embedded bool  // a whole object, with metadata
	meta     bool  // Kubernetes' own metadata
	builtin  bool  // a type of Go
	minProps *int64
	maxProps *int64

	items    *node
	keys     []string // of a list that is a map
	set      bool
	unique   bool
	minItems *int64
	maxItems *int64

	enum      []any
	format    string
	pattern   *regexp.Regexp
	minLength *int64
	maxLength *int64
	min, max  *float64
	minOpen   bool
	maxOpen   bool
	multiple  *float64

	all, any, one []*node
	not           *node
}

// known tells whether a field may be there.
func (n *node) known(name string) (*node, bool) {
	if n == nil {
		return nil, true
	}
	if field, found := n.fields[name]; found {
		return field, true
	}
	if n.extra != nil {
		return n.extra, true
	}
	return nil, n.open || n.fields == nil && n.types&isObject == 0
}

// at follows a path from a node; ok is false where a step leads to an unknown field, and nil is a node of
// which nothing is known.
func (n *node) at(steps []string) (below *node, ok bool) {
	for _, step := range steps {
		switch {
		case n == nil:
			return nil, true
		case n.items != nil:
			n = n.items
		default:
			if n, ok = n.known(step); !ok {
				return nil, false
			}
		}
	}
	return n, true
}

// nearest returns the field that was likely meant.
func (n *node) nearest(name string) string {
	best, distance := "", 3
	names := make([]string, 0, len(n.fields))
	for known := range n.fields {
		names = append(names, known)
	}
	slices.Sort(names)
	for _, known := range names {
		if strings.EqualFold(known, name) {
			return known
		}
		if d := edits(known, name); d < distance && d < len(name)-1 {
			best, distance = known, d
		}
	}
	return best
}

// edits counts the letters to change, add or drop between two short words.
func edits(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			before, row[j+1] = row[j+1], min(before+cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
