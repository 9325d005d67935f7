package kustomize

import (
	"fmt"
	"path"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/stage/render/confine"
)

// Spec is what a unit wants of a build, beyond what the tree says.
type Spec struct {
	Path                    string // directory to build; "" is the root
	Namespace               string
	NamePrefix, NameSuffix  string
	Patches                 []types.Patch
	Images                  []types.Image
	Components              []string
	IgnoreMissingComponents bool
	BuildMetadata           []string
	// Opener decrypts the files that generators and patches name; nil decrypts nothing.
	Opener confine.Opener
}

// emptyNamespace keeps kustomize from refusing a kustomization without resources.
const emptyNamespace = "_placeholder"

// entry is the kustomization that a build starts from: the one in the tree, or a generated one,
// with the wishes of the unit merged into it.
type entry struct {
	file      string // path of the kustomization file, which may exist only in the overlay
	generated bool
	kust      types.Kustomization
}

// merged finds or generates the kustomization of spec.Path and merges spec into it. The rules are
// Flux's (fluxcd/pkg kustomize: GenerateManifest).
func merged(f *confine.Files, spec Spec, dir string) (entry, error) {
	e, err := start(f, dir)
	if err != nil {
		return entry{}, err
	}
	k := &e.kust
	if spec.Namespace != "" {
		k.Namespace = spec.Namespace
	}
	if spec.NamePrefix != "" {
		k.NamePrefix = spec.NamePrefix
	}
	if spec.NameSuffix != "" {
		k.NameSuffix = spec.NameSuffix
	}
	k.Patches = append(k.Patches, spec.Patches...)
	if err := addComponents(f, k, spec, dir); err != nil {
		return entry{}, err
	}
	for _, image := range spec.Images {
		mergeImage(k, image)
	}
	if len(spec.BuildMetadata) > 0 {
		k.BuildMetadata = spec.BuildMetadata
	}
	return e, nil
}

// start reads the kustomization of dir, or generates it.
func start(f *confine.Files, dir string) (entry, error) {
	e := entry{kust: types.Kustomization{TypeMeta: types.TypeMeta{
		APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind,
	}}}
	found := f.KustomizationFiles(dir)
	if len(found) == 0 {
		e.file, e.generated = path.Join(dir, konfig.DefaultKustomizationFileName()), true
		for _, name := range f.Manifests(dir) {
			e.kust.Resources = append(e.kust.Resources, "./"+name)
		}
		if len(e.kust.Resources) == 0 {
			e.kust.Namespace = emptyNamespace
		}
		return e, nil
	}
	e.file = found[0]
	data, err := f.Content(e.file)
	if err != nil {
		return entry{}, err
	}
	if err := yaml.Unmarshal(data, &e.kust); err != nil {
		return entry{}, fmt.Errorf("reading %s: %w", e.file, err)
	}
	if len(e.kust.Resources) == 0 {
		// As in Flux: this, too, keeps kustomize from calling the kustomization empty. It has the
		// effect that objects of generators and components carry the annotation.
		e.kust.BuildMetadata = []string{types.OriginAnnotations}
	}
	return e, nil
}

func addComponents(f *confine.Files, k *types.Kustomization, spec Spec, dir string) error {
	for _, component := range spec.Components {
		if !localPath(component) {
			return fmt.Errorf("component path %q must be local and relative", confine.Scrub(component))
		}
		if spec.IgnoreMissingComponents && !f.Exists(filepath.Join(confine.Outside(dir), component)) {
			continue
		}
		k.Components = append(k.Components, component)
	}
	return nil
}

// localPath tells whether a component is neither remote nor absolute (fluxcd/pkg kustomize:
// IsLocalRelativePath).
func localPath(name string) bool {
	return !confine.ClonesRepository(name) && !filepath.IsAbs(name)
}

// mergeImage overrides the fields of an image of the same name. A tag and a digest both choose the
// version, so they move as one.
func mergeImage(k *types.Kustomization, image types.Image) {
	for i := range k.Images {
		existing := &k.Images[i]
		if existing.Name != image.Name {
			continue
		}
		if image.NewName != "" {
			existing.NewName = image.NewName
		}
		if image.NewTag != "" || image.Digest != "" {
			existing.NewTag, existing.Digest = image.NewTag, image.Digest
		}
		return
	}
	k.Images = append(k.Images, types.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest})
}
