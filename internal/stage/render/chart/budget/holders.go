package budget

import (
	"errors"
	"fmt"
	"reflect"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

var errCycle = errors.New("a value would contain itself")

// holders are the functions that put values into each other.
func (m *Meter) holders(funcs template.FuncMap) {
	known := sprig.TxtFuncMap()
	list, _ := known["list"].(func(...any) []any)
	lists := func(parts ...any) ([]any, error) {
		made := list(parts...)
		return made, m.contain(made, parts...)
	}
	funcs["list"], funcs["tuple"] = lists, lists
	dict, _ := known["dict"].(func(...any) map[string]any)
	funcs["dict"] = func(parts ...any) (map[string]any, error) {
		made := dict(parts...)
		return made, m.contain(made, parts...)
	}
	funcs["set"] = func(holder map[string]any, key string, value any) (map[string]any, error) {
		if holder == nil {
			return nil, errors.New("set needs a dictionary")
		}
		if err := m.mayHold(holder, value); err != nil {
			return nil, err
		}
		holder[key] = value
		return holder, nil
	}
	for _, name := range []string{"append", "push", "mustAppend", "mustPush", "prepend", "mustPrepend"} {
		put := fallible(known[name])
		funcs[name] = func(held, value any) ([]any, error) {
			made, err := put(held, value)
			if err != nil {
				return nil, err
			}
			if err := m.charge(16 * int64(len(made))); err != nil {
				return nil, err
			}
			return made, m.contain(made, held, value)
		}
	}
	concat, _ := known["concat"].(func(...any) any)
	funcs["concat"] = func(held ...any) (any, error) {
		made := concat(held...)
		if flat, ok := made.([]any); ok {
			if err := m.charge(16 * int64(len(flat))); err != nil {
				return nil, err
			}
		}
		return made, m.contain(made, held...)
	}
	m.mergers(funcs, known)
}

// mayHold refuses a value that would make a dictionary contain itself.
func (m *Meter) mayHold(holder map[string]any, value any) error {
	held := reflect.ValueOf(value)
	if kind := held.Kind(); kind != reflect.Map && kind != reflect.Slice {
		return nil
	}
	left := m.limits.Items
	if within(held, reflect.ValueOf(holder).Pointer(), 0, &left) {
		return fmt.Errorf("%w: %w", ErrSpent, errCycle)
	}
	return m.contain(holder, holder, value)
}

func (m *Meter) mergers(funcs, known template.FuncMap) {
	for _, name := range []string{"merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite"} {
		merge := func(map[string]any, ...map[string]any) (any, error) { return nil, nil }
		switch f := known[name].(type) {
		case func(map[string]any, ...map[string]any) any:
			merge = func(into map[string]any, from ...map[string]any) (any, error) { return f(into, from...), nil }
		case func(map[string]any, ...map[string]any) (any, error):
			merge = f
		}
		funcs[name] = func(into map[string]any, from ...map[string]any) (any, error) {
			for _, one := range from {
				for _, value := range one { // merging a dictionary into itself changes nothing
					if err := m.mayHold(into, value); err != nil {
						return nil, err
					}
				}
			}
			return merge(into, from...)
		}
	}
	deepCopy, _ := known["mustDeepCopy"].(func(any) (any, error))
	copied := func(value any) (any, error) {
		if err := m.weigh(value); err != nil {
			return nil, err
		}
		return deepCopy(value)
	}
	funcs["deepCopy"], funcs["mustDeepCopy"] = copied, copied
}

func fallible(function any) func(held, value any) ([]any, error) {
	switch f := function.(type) {
	case func(any, any) []any:
		return func(held, value any) ([]any, error) { return f(held, value), nil }
	case func(any, any) ([]any, error):
		return f
	default:
		return func(any, any) ([]any, error) { return nil, errors.ErrUnsupported }
	}
}
