package pipeline

import (
	"slices"
	"strings"

	"holdfast.dev/holdfast/internal/model/object"
)

// union joins two inventories, sorted by identifier. An object in both takes the version of the
// second, which is newer.
func union(old, latest []object.Ref) []object.Ref {
	byKey := make(map[object.Ref]object.Ref, len(old)+len(latest))
	for _, ref := range old {
		byKey[ref.Key()] = ref
	}
	for _, ref := range latest {
		byKey[ref.Key()] = ref
	}
	joined := make([]object.Ref, 0, len(byKey))
	for _, ref := range byKey {
		joined = append(joined, ref)
	}
	slices.SortFunc(joined, func(a, b object.Ref) int { return strings.Compare(a.ID(), b.ID()) })
	return joined
}

// without returns the references of the first inventory whose objects are not in the second.
func without(inventory, minus []object.Ref) []object.Ref {
	gone := make(map[object.Ref]bool, len(minus))
	for _, ref := range minus {
		gone[ref.Key()] = true
	}
	var left []object.Ref
	for _, ref := range inventory {
		if !gone[ref.Key()] {
			left = append(left, ref)
		}
	}
	return left
}

// list writes references for a message, the first few of them by name.
func list(refs []object.Ref) string {
	const shown = 5
	names := make([]string, 0, shown+1)
	for i, ref := range refs {
		if i == shown {
			names = append(names, "…")
			break
		}
		names = append(names, ref.String())
	}
	return strings.Join(names, ", ")
}
