package apply

import (
	"slices"
	"strconv"
)

// lookUp returns the value at a path of keys and list positions.
func lookUp(value any, path []string) (any, bool) {
	for _, token := range path {
		switch at := value.(type) {
		case map[string]any:
			next, found := at[token]
			if !found {
				return nil, false
			}
			value = next
		case []any:
			position, ok := position(at, token)
			if !ok {
				return nil, false
			}
			value = at[position]
		default:
			return nil, false
		}
	}
	return value, true
}

// replace sets the value at a path whose parent exists; otherwise it does nothing.
func replace(root map[string]any, path []string, value any) {
	parent, last := path[:len(path)-1], path[len(path)-1]
	holder, _ := lookUp(root, parent)
	switch at := holder.(type) {
	case map[string]any:
		at[last] = value
	case []any:
		if position, ok := position(at, last); ok {
			at[position] = value
		}
	}
}

// remove takes away the value at a path; a path that is not there is no error.
func remove(root map[string]any, path []string) {
	parent, last := path[:len(path)-1], path[len(path)-1]
	holder, _ := lookUp(root, parent)
	switch at := holder.(type) {
	case map[string]any:
		delete(at, last)
	case []any:
		if position, ok := position(at, last); ok {
			replace(root, parent, slices.Delete(slices.Clone(at), position, position+1))
		}
	}
}

func position(list []any, token string) (int, bool) {
	index, err := strconv.Atoi(token)
	return index, err == nil && index >= 0 && index < len(list)
}
