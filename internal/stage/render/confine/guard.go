package confine

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// ErrOwnSchema says that a kustomization brings an OpenAPI schema of its own.
var ErrOwnSchema = errors.New("kustomization has an openapi field")

// guard is asked about every file before kustomize reads it. Kustomize replaces each YAML alias by a
// copy of what it stands for, without a bound, so a file of a few lines could fill the memory; and
// it would follow what names a remote place.
func (f *Files) guard(name string, data []byte) error {
	if err := manifest.BoundAliases(data, f.limits); err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if !IsKustomization(name) {
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
func (f *Files) permitted(dir string, k *types.Kustomization) error {
	if err := f.confined(dir, k); err != nil {
		return err
	}
	f.Assign(dir, k)
	for _, name := range slices.Concat(k.Resources, k.Bases) {
		if full := path.Join(dir, name); f.Kind(full) == KindFile {
			f.Listed = append(f.Listed, full)
		}
	}
	if len(k.OpenAPI) > 0 && !f.OwnSchema {
		f.WantsSchema = true
		return ErrOwnSchema
	}
	for _, text := range inlineTexts(k) {
		if err := manifest.BoundAliases([]byte(text), f.limits); err != nil {
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
