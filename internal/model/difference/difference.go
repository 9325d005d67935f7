package difference

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Field is one difference. A side that does not have the field is nil.
type Field struct {
	Path          string
	Before, After any
}

// Between lists the fields in which two states differ, in the order of their paths.
func Between(before, after map[string]any) []Field {
	var found []Field
	walk(before, after, "", false, func(f Field) bool { found = append(found, f); return true })
	return found
}

// Wanted lists the paths of fields that are wanted and not so in another state, at most so many. What
// only the other state has does not matter.
func Wanted(wanted, live map[string]any, most int) []string {
	var paths []string
	walk(wanted, live, "", true, func(f Field) bool {
		paths = append(paths, f.Path)
		return len(paths) < most
	})
	return paths
}

// walk compares two values, and stops when tell returns false. With wantedOnly, fields that only the
// second one has are passed over.
func walk(before, after any, path string, wantedOnly bool, tell func(Field) bool) bool {
	switch one := before.(type) {
	case map[string]any:
		if other, ok := after.(map[string]any); ok {
			return walkFields(one, other, path, wantedOnly, tell)
		}
	case []any:
		if other, ok := after.([]any); ok {
			return walkItems(one, other, path, wantedOnly, tell)
		}
	}
	if reflect.DeepEqual(before, after) {
		return true
	}
	return tell(Field{Path: path, Before: before, After: after})
}

func walkFields(before, after map[string]any, path string, wantedOnly bool, tell func(Field) bool) bool {
	names := maps.Clone(before)
	if names == nil {
		names = map[string]any{}
	}
	if !wantedOnly {
		maps.Copy(names, after)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !walk(before[name], after[name], path+"."+name, wantedOnly, tell) {
			return false
		}
	}
	return true
}

func walkItems(before, after []any, path string, wantedOnly bool, tell func(Field) bool) bool {
	old, oldNamed := byName(before)
	latest, latestNamed := byName(after)
	if oldNamed && latestNamed {
		return walkNamed(old, latest, path, wantedOnly, tell)
	}
	for i := range max(len(before), len(after)) {
		if i >= len(before) && wantedOnly {
			return true
		}
		if !walk(at(before, i), at(after, i), fmt.Sprintf("%s[%d]", path, i), wantedOnly, tell) {
			return false
		}
	}
	return true
}

func walkNamed(before, after map[string]any, path string, wantedOnly bool, tell func(Field) bool) bool {
	names := maps.Clone(before)
	if !wantedOnly {
		maps.Copy(names, after)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !walk(before[name], after[name], path+"["+name+"]", wantedOnly, tell) {
			return false
		}
	}
	return true
}

// byName finds the items of a list by their names, if all have one and no two the same.
func byName(items []any) (map[string]any, bool) {
	named := make(map[string]any, len(items))
	for _, item := range items {
		fields, _ := item.(map[string]any)
		name, _ := fields["name"].(string)
		if _, twice := named[name]; name == "" || twice {
			return nil, false
		}
		named[name] = item
	}
	return named, true
}

func at(items []any, i int) any {
	if i < len(items) {
		return items[i]
	}
	return nil
}
