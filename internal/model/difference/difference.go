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
	w := walker{tell: func(f Field) bool { found = append(found, f); return true }}
	w.walk(before, after, "")
	return found
}

// Wanted lists the paths of fields that are wanted and not so in another state, at most so many. What
// only the other state has does not matter.
func Wanted(wanted, live map[string]any, most int) []string {
	var paths []string
	w := walker{wantedOnly: true, tell: func(f Field) bool {
		paths = append(paths, f.Path)
		return len(paths) < most
	}}
	w.walk(wanted, live, "")
	return paths
}

// walker compares two values, and stops when tell returns false.
type walker struct {
	wantedOnly bool // fields that only the second value has are passed over
	tell       func(Field) bool
}

func (w walker) walk(before, after any, path string) bool {
	switch one := before.(type) {
	case map[string]any:
		if other, ok := after.(map[string]any); ok {
			return w.fields(one, other, path)
		}
	case []any:
		if other, ok := after.([]any); ok {
			return w.items(one, other, path)
		}
	}
	if reflect.DeepEqual(before, after) {
		return true
	}
	return w.tell(Field{Path: path, Before: before, After: after})
}

func (w walker) fields(before, after map[string]any, path string) bool {
	names := maps.Clone(before)
	if names == nil {
		names = map[string]any{}
	}
	if !w.wantedOnly {
		maps.Copy(names, after)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !w.walk(before[name], after[name], path+"."+name) {
			return false
		}
	}
	return true
}

func (w walker) items(before, after []any, path string) bool {
	old, oldNamed := byName(before)
	latest, latestNamed := byName(after)
	if oldNamed && latestNamed {
		return w.named(old, latest, path)
	}
	for i := range max(len(before), len(after)) {
		if i >= len(before) && w.wantedOnly {
			return true
		}
		if !w.walk(at(before, i), at(after, i), fmt.Sprintf("%s[%d]", path, i)) {
			return false
		}
	}
	return true
}

func (w walker) named(before, after map[string]any, path string) bool {
	names := maps.Clone(before)
	if !w.wantedOnly {
		maps.Copy(names, after)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !w.walk(before[name], after[name], path+"["+name+"]") {
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
