package position

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"holdfast.dev/holdfast/internal/model/object"
)

// maxFile bounds what is parsed for the sake of a line number.
const maxFile = 4 << 20

// File is a parsed file in which lines can be looked up. It is immutable.
type File struct {
	objects []*yaml.Node
}

// Parse reads YAML or JSON. What cannot be read has no lines.
func Parse(content []byte) File {
	if len(content) > maxFile {
		return File{}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var file File
	for {
		var document yaml.Node
		if decode(decoder, &document) != nil {
			return file
		}
		if len(document.Content) > 0 {
			file.add(document.Content[0])
		}
	}
}

// decode survives the texts that the parser does not.
func decode(decoder *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("malformed")
		}
	}()
	return decoder.Decode(into)
}

// add takes note of an object, or of the items of a list.
func (f *File) add(node *yaml.Node) {
	if _, items := child(node, "items"); items != nil && items.Kind == yaml.SequenceNode {
		for _, item := range items.Content {
			f.objects = append(f.objects, item)
		}
		return
	}
	f.objects = append(f.objects, node)
}

// Line returns the line of a field of an object; an empty path is the object itself.
func (f File) Line(ref object.Ref, path string) int {
	node := f.find(ref)
	if node == nil {
		return 0
	}
	line := node.Line
	for _, step := range Steps(path) {
		key, next := child(node, step)
		if next == nil {
			break
		}
		line, node = key.Line, next
	}
	return line
}

// Comments returns all comments that stand in an object, for those who look for a word to them.
func (f File) Comments(ref object.Ref) []string {
	node := f.find(ref)
	if node == nil {
		return nil
	}
	var found []string
	var visit func(*yaml.Node, int)
	visit = func(node *yaml.Node, depth int) {
		for _, text := range []string{node.HeadComment, node.LineComment, node.FootComment} {
			if text != "" {
				found = append(found, text)
			}
		}
		for _, below := range node.Content {
			if depth > 0 {
				visit(below, depth-1)
			}
		}
	}
	const deepest = 64
	visit(node, deepest)
	return found
}

// find returns the object that is meant: by kind and name, or by kind and a name that a prefix or suffix
// was put to, or the only one of its kind.
func (f File) find(ref object.Ref) *yaml.Node {
	var longest, only *yaml.Node
	length, same := 0, 0
	for _, node := range f.objects {
		if scalar(node, "kind") != ref.Kind {
			continue
		}
		_, metadata := child(node, "metadata")
		name := scalar(metadata, "name")
		if name == ref.Name {
			if namespace := scalar(metadata, "namespace"); namespace == ref.Namespace {
				return node
			}
			length, longest = len(ref.Name)+1, node
			continue
		}
		if name != "" && strings.Contains(ref.Name, name) && len(name) > length {
			length, longest = len(name), node
		}
		only, same = node, same+1
	}
	if longest == nil && same == 1 {
		return only
	}
	if longest == nil && len(f.objects) == 1 && scalar(f.objects[0], "kind") == "" {
		return f.objects[0] // a kustomization.yaml may leave its kind out
	}
	return longest
}

func scalar(node *yaml.Node, key string) string {
	_, value := child(node, key)
	if value == nil || value.Kind != yaml.ScalarNode {
		return ""
	}
	return value.Value
}

// child follows one step: a field, an index, or the name of an item.
func child(node *yaml.Node, step string) (key, value *yaml.Node) {
	if node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch {
	case node == nil:
	case node.Kind == yaml.MappingNode:
		for i := len(node.Content) - 2; i >= 0; i -= 2 { // the last of two that are the same is what counts
			if node.Content[i].Value == step {
				return node.Content[i], node.Content[i+1]
			}
		}
	case node.Kind == yaml.SequenceNode:
		if index, err := strconv.Atoi(step); err == nil {
			if index >= 0 && index < len(node.Content) {
				return node.Content[index], node.Content[index]
			}
			return nil, nil
		}
		for _, item := range node.Content {
			if scalar(item, "name") == step {
				return item, item
			}
		}
	}
	return nil, nil
}

// Steps cuts a path into its fields, indices and keys: spec.ports[0].name, metadata.labels[example.org/a].
func Steps(path string) []string {
	var steps []string
	for path != "" {
		if rest, found := strings.CutPrefix(path, "["); found {
			key, after, closed := strings.Cut(rest, "]")
			if !closed {
				return append(steps, rest)
			}
			steps, path = append(steps, key), strings.TrimPrefix(after, ".")
			continue
		}
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			return append(steps, path)
		}
		if end > 0 {
			steps = append(steps, path[:end])
		}
		path = strings.TrimPrefix(path[end:], ".")
	}
	return steps
}
