package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/getsops/sops/v3"
)

// Path leads to a value: keys, and numbers of list items from 0.
type Path []any

// The limits of a path: far more than a person writes.
const (
	maxSteps = 64
	maxIndex = 100_000
)

// ParsePath reads a path. Keys stand between dots, `stringData.password`; a key with other characters
// stands quoted in brackets, as for sops: `data["tls.key"]`. A number in brackets is an item of a list,
// `users[0].token`.
func ParsePath(text string) (Path, error) {
	var path Path
	rest := text
	for rest != "" || len(path) == 0 {
		var (
			step any
			err  error
		)
		switch {
		case strings.HasPrefix(rest, "["):
			step, rest, err = bracketed(rest)
		case len(path) == 0:
			step, rest, err = bare(rest)
		default:
			step, rest, err = dotted(rest)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the path %q: %w", text, err)
		}
		if path = append(path, step); len(path) > maxSteps {
			return nil, fmt.Errorf("reading the path: it has more than %d steps", maxSteps)
		}
	}
	return path, nil
}

// dotted takes a dot and the key after it.
func dotted(text string) (step any, rest string, err error) {
	after, found := strings.CutPrefix(text, ".")
	if !found {
		return nil, "", fmt.Errorf("after a bracket comes a dot or another bracket, not %q", text)
	}
	return bare(after)
}

// bare takes a key up to the next dot or bracket.
func bare(text string) (step any, rest string, err error) {
	end := strings.IndexAny(text, ".[")
	if end < 0 {
		end = len(text)
	}
	if end == 0 {
		return nil, "", errors.New("it has a step without a name")
	}
	if strings.ContainsAny(text[:end], "]\"") {
		return nil, "", fmt.Errorf("the key %q must stand quoted in brackets", text[:end])
	}
	return text[:end], text[end:], nil
}

// bracketed takes ["key"] or [7].
func bracketed(text string) (step any, rest string, err error) {
	if strings.HasPrefix(text, `["`) {
		decoder := json.NewDecoder(strings.NewReader(text[1:]))
		var key string
		if err := decoder.Decode(&key); err != nil {
			return nil, "", errors.New("the quotes in a bracket do not end")
		}
		rest, found := strings.CutPrefix(text[1+decoder.InputOffset():], "]")
		if !found {
			return nil, "", errors.New("a bracket does not end")
		}
		return key, rest, nil
	}
	number, rest, found := strings.Cut(text[1:], "]")
	if !found {
		return nil, "", errors.New("a bracket does not end")
	}
	index, err := strconv.Atoi(number)
	if err != nil || index < 0 || index > maxIndex || strconv.Itoa(index) != number {
		return nil, "", fmt.Errorf("[%s] is neither a number nor a quoted key", number)
	}
	return index, rest, nil
}

// String writes the path so that ParsePath reads it.
func (p Path) String() string {
	var out strings.Builder
	for i, step := range p {
		key, isKey := step.(string)
		switch {
		case !isKey:
			fmt.Fprintf(&out, "[%d]", step)
		case key == "" || strings.ContainsAny(key, ".[]\""):
			quoted, _ := json.Marshal(key) // a string always can be
			fmt.Fprintf(&out, "[%s]", quoted)
		case i == 0:
			out.WriteString(key)
		default:
			out.WriteString("." + key)
		}
	}
	return out.String()
}

// Documents is how many documents the file has.
func (o *Opened) Documents() int { return len(o.tree.Branches) }

// Kind returns the kind of the Kubernetes object in a document, where it is one.
func (o *Opened) Kind(document int) string {
	for _, item := range o.tree.Branches[document] {
		if item.Key == "kind" {
			kind, _ := item.Value.(string)
			return kind
		}
	}
	return ""
}

// Set puts a value at a path in one of the file's documents, and makes what is missing on the way.
func (o *Opened) Set(document int, path Path, value any) (changed bool, err error) {
	if document < 0 || document >= len(o.tree.Branches) {
		return false, fmt.Errorf("the file has %d documents", len(o.tree.Branches))
	}
	if err := fits(o.tree.Branches[document], path); err != nil {
		return false, fmt.Errorf("setting %s: %w", path, err)
	}
	err = guarded(func() error {
		o.tree.Branches[document], changed = o.tree.Branches[document].Set(path, value)
		return nil
	})
	if err == nil && o.store.HasSopsTopLevelKey(o.tree.Branches[document]) {
		err = fmt.Errorf("setting %s: the key sops belongs to the encryption", path)
	}
	return changed, err
}

// fits refuses a path that would replace a structure, or go through a value.
func fits(value any, path Path) error {
	for i, step := range path {
		below, err := enter(value, step, path[:i])
		if err != nil {
			return err
		}
		value = below
	}
	switch value.(type) {
	case sops.TreeBranch, []any:
		return errors.New("there is more than a value at it")
	}
	return nil
}

// enter goes one step below what is at a path, and returns nil where nothing is yet.
func enter(value, step any, at Path) (any, error) {
	index, isIndex := step.(int)
	switch here := value.(type) {
	case sops.TreeBranch:
		if _, isKey := step.(string); !isKey {
			return nil, fmt.Errorf("%q holds keys, not a list", at.String())
		}
		var below any
		for _, item := range here {
			if item.Key == step {
				below = item.Value
			}
		}
		return below, nil
	case []any:
		switch {
		case !isIndex:
			return nil, fmt.Errorf("%q is a list: say which item, for example [0]", at.String())
		case index > len(here):
			return nil, fmt.Errorf("%q has %d items", at.String(), len(here))
		case index == len(here):
			return nil, nil
		}
		return here[index], nil
	case nil:
		if isIndex && index != 0 {
			return nil, errors.New("a new list begins with [0]")
		}
		return nil, nil
	default:
		return nil, fmt.Errorf("%q is a value: nothing can be below it", at.String())
	}
}
