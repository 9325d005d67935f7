package ignore

import "holdfast.dev/holdfast/internal/model/tree"

// Filter returns the entries that belong to the tree, in the order given. read is called for the
// ignore files among the entries; specIgnore is the spec's own list of patterns, or nil. Each file is
// judged by its own path, so a pattern can bring back a file from an excluded directory: that is how
// Flux does it, and not how Git does.
func Filter(entries []tree.Entry, read func(path string) ([]byte, error), specIgnore *string) ([]tree.Entry, error) {
	rules, err := collect(entries, read, specIgnore)
	if err != nil {
		return nil, err
	}
	kept := make([]tree.Entry, 0, len(entries))
	for _, entry := range entries {
		if !excluded(rules, entry.Path) {
			kept = append(kept, entry)
		}
	}
	return kept, nil
}
