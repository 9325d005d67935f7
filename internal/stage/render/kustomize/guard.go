package kustomize

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"

	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// guard is asked about every file before kustomize reads it. Kustomize replaces each YAML alias by a
// copy of what it stands for, without a bound, so a file of a few lines could fill the memory; and
// it would follow what names a remote place.
func (f *files) guard(name string, data []byte) error {
	if err := boundAliases(data, f.limits); err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if !isKustomizationName(name) {
		return nil
	}
	var k types.Kustomization
	if err := yaml.Unmarshal(data, &k); err != nil {
		return nil //nolint:nilerr // kustomize says what is wrong with it
	}
	if err := f.permitted(path.Dir(name), &k); err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	return nil
}

// permitted checks what a kustomization in dir asks for.
func (f *files) permitted(dir string, k *types.Kustomization) error {
	if err := f.confined(dir, k); err != nil {
		return err
	}
	for _, name := range slices.Concat(k.Resources, k.Bases) {
		if full := path.Join(dir, name); f.kind(full) == kindFile {
			f.listed = append(f.listed, full)
		}
	}
	if len(k.OpenAPI) > 0 && !f.ownSchema {
		f.wantsSchema = true
		return errOwnSchema
	}
	for _, text := range inlineTexts(k) {
		if err := boundAliases([]byte(text), f.limits); err != nil {
			return fmt.Errorf("inline patch: %w", err)
		}
	}
	return nil
}

// inlineTexts returns the YAML documents that a kustomization may hold as strings.
func inlineTexts(k *types.Kustomization) []string {
	var texts []string
	for _, patches := range [][]types.Patch{k.Patches, k.PatchesJson6902} {
		for _, patch := range patches {
			texts = append(texts, patch.Patch)
		}
	}
	for _, patch := range k.PatchesStrategicMerge {
		texts = append(texts, string(patch))
	}
	for _, entries := range [][]string{k.Generators, k.Transformers, k.Validators} {
		texts = append(texts, entries...)
	}
	return texts
}

// boundAliases checks that the documents of a file stay small when all aliases in them are expanded.
// What is no YAML passes: it may be the data of a generator.
func boundAliases(data []byte, limits Limits) error {
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
			return tooMany("YAML aliases expand to too many values", limits.Nodes)
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
			return 0, tooMany("YAML aliases expand to too many values", s.limits.Nodes)
		}
	}
	s.sizes[node] = total
	return total, nil
}

// parsedDocs reads resources as kustomize does. Its parser panics on some input.
func parsedDocs(data []byte) (docs []*resource.Resource, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("YAML cannot be read: %v", cause)
		}
	}()
	return provider.NewDefaultDepProvider().GetResourceFactory().SliceFromBytes(data)
}

func sameKustomization(a, b *types.Kustomization) bool { return reflect.DeepEqual(a, b) }
