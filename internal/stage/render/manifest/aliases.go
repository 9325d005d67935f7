package manifest

import (
	"bytes"
	"errors"
	"fmt"

	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// BoundAliases checks that the documents of a file stay small when all aliases in them are expanded.
// What is no YAML passes: it may be the data of a generator.
func BoundAliases(data []byte, limits Limits) error {
	if !bytes.Contains(data, []byte("&")) || !bytes.Contains(data, []byte("*")) {
		return nil
	}
	decoder := kyaml.NewDecoder(bytes.NewReader(data))
	sizes := nodeSizes{sizes: map[*kyaml.Node]int{}, limits: limits}
	total := 0
	for {
		var document kyaml.Node
		if err := decoder.Decode(&document); err != nil {
			return nil //nolint:nilerr // the end, or no YAML
		}
		size, err := sizes.of(&document, 0)
		if err != nil {
			return err
		}
		if total += size; total > limits.Nodes {
			return TooMany("YAML aliases expand to too many values", limits.Nodes)
		}
	}
}

var (
	errAliasCycle = errors.New("YAML alias refers to itself")
	errTooDeep    = errors.New("YAML is nested too deeply")
)

// nodeSizes counts nodes with their aliases expanded. A node that is being counted has size -1.
type nodeSizes struct {
	sizes  map[*kyaml.Node]int
	limits Limits
}

func (s nodeSizes) of(node *kyaml.Node, depth int) (int, error) {
	if depth > s.limits.Depth {
		return 0, errTooDeep
	}
	if node.Kind == kyaml.AliasNode {
		return s.of(node.Alias, depth+1)
	}
	if size, known := s.sizes[node]; known {
		if size < 0 {
			return 0, errAliasCycle
		}
		return size, nil
	}
	s.sizes[node] = -1
	total := 1
	for _, child := range node.Content {
		size, err := s.of(child, depth+1)
		if err != nil {
			return 0, err
		}
		if total += size; total > s.limits.Nodes {
			return 0, TooMany("YAML aliases expand to too many values", s.limits.Nodes)
		}
	}
	s.sizes[node] = total
	return total, nil
}

// Parse reads resources as kustomize does. Its parser panics on some input.
func Parse(data []byte) (docs []*resource.Resource, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("YAML cannot be read: %v", cause)
		}
	}()
	return provider.NewDefaultDepProvider().GetResourceFactory().SliceFromBytes(data)
}
