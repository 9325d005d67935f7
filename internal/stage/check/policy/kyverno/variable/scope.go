package variable

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	gojmespath "github.com/kyverno/go-jmespath"
)

// Loader finds the value of an entry of the context. It may look at what the scope held before it.
type Loader func(scope *Scope) (any, error)

type entry struct {
	name   string
	load   Loader
	loaded bool
}

// Scope is what a rule may look at. A child sees what its parent sees; what is set in it ends with it.
// A scope belongs to one evaluation and is not safe for concurrent use.
type Scope struct {
	ctx     context.Context //nolint:containedctx // a scope lives as long as one evaluation, and JMESPath passes nothing along
	caller  *gojmespath.FunctionCaller
	data    map[string]any
	entries []entry
	depth   int
}

// NewScope returns a scope that holds data, for an evaluation that ends with ctx.
func NewScope(ctx context.Context, language *Language, data map[string]any) *Scope {
	return &Scope{ctx: ctx, caller: language.caller(ctx), data: maps.Clone(data)}
}

// Context ends with the evaluation.
func (s *Scope) Context() context.Context { return s.ctx }

// Child returns a scope inside this one.
func (s *Scope) Child() *Scope {
	child := *s
	child.data, child.entries = maps.Clone(s.data), slices.Clone(s.entries)
	return &child
}

// Set gives a name a value. A dotted name is a path into what is there.
func (s *Scope) Set(value any, path ...string) {
	data := s.data
	for _, step := range path[:len(path)-1] {
		inner, _ := data[step].(map[string]any)
		if inner = maps.Clone(inner); inner == nil {
			inner = map[string]any{}
		}
		data[step] = inner
		data = inner
	}
	data[path[len(path)-1]] = value
}

// Add declares an entry of the context, which is loaded when something first asks for it.
func (s *Scope) Add(name string, load Loader) {
	s.entries = append(s.entries, entry{name: name, load: load})
}

// Operation returns the operation of the request.
func (s *Scope) Operation() string {
	request, _ := s.data["request"].(map[string]any)
	operation, _ := request["operation"].(string)
	return operation
}

// Query returns what a JMESPath expression finds.
func (s *Scope) Query(query string) (any, error) {
	query = strings.TrimSpace(query)
	switch {
	case query == "":
		return nil, errors.New("the JMESPath expression is empty")
	case len(query) > maxQuery:
		return nil, fmt.Errorf("JMESPath expression of %d bytes: the limit is %d", len(query), maxQuery)
	case s.ctx.Err() != nil:
		return nil, context.Cause(s.ctx)
	}
	if err := s.loadFor(query); err != nil {
		return nil, err
	}
	return s.search(query, s.data)
}

// Search returns what a JMESPath expression finds in a value.
func (s *Scope) Search(query string, data any) (any, error) {
	if len(query) > maxQuery {
		return nil, fmt.Errorf("JMESPath expression of %d bytes: the limit is %d", len(query), maxQuery)
	}
	return s.search(query, data)
}

func (s *Scope) search(query string, data any) (any, error) {
	compiled, err := gojmespath.Compile(query)
	if err != nil {
		return nil, fmt.Errorf("reading the JMESPath expression %s: %w", query, err)
	}
	found, err := compiled.Search(data, gojmespath.WithFunctionCaller(s.caller))
	if err != nil {
		return nil, fmt.Errorf("evaluating the JMESPath expression %s: %w", query, err)
	}
	return found, nil
}

// loadFor loads the entries that a query names, in their order. The loader of an entry sees the entries
// before it only, so that none waits for itself.
func (s *Scope) loadFor(query string) error {
	for i := range s.entries {
		one := &s.entries[i]
		if one.loaded || !names(query, one.name) {
			continue
		}
		if s.depth > 32 {
			return fmt.Errorf("loading %s: entries refer to each other too deeply", one.name)
		}
		before := s.Child()
		before.entries = slices.Clone(s.entries[:i])
		before.depth = s.depth + 1
		value, err := one.load(before)
		if err != nil {
			return fmt.Errorf("loading the context entry %s: %w", one.name, err)
		}
		if err := bounded(value); err != nil {
			return fmt.Errorf("loading the context entry %s: %w", one.name, err)
		}
		one.loaded = true
		s.data[one.name] = value
	}
	return nil
}

// names tells whether a query mentions a name other than as a field of something.
func names(query, name string) bool {
	for at := 0; ; {
		next := strings.Index(query[at:], name)
		if next < 0 {
			return false
		}
		start, end := at+next, at+next+len(name)
		before := start == 0 || query[start-1] != '.' && !word(query[start-1])
		if before && (end == len(query) || !word(query[end]) && query[end] != '_') {
			return true
		}
		at = start + 1
	}
}

func word(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
