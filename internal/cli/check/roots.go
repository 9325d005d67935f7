package check

import (
	"bytes"
	"path"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/cli/preview"
	"holdfast.dev/holdfast/internal/model/tree"
)

// Environment is a place in a tree where a cluster begins.
type Environment struct {
	// Name is what people call it: the folder in clusters, or else the path.
	Name string
	Path string
}

// Environments finds where clusters begin in a tree: the folders in clusters or, where there are none,
// those with Kustomizations of Flux that no other Kustomization delivers. A tree that other repositories
// deliver has none of these: there, it is each folder that kustomize can build and that is part of no other.
func Environments(files tree.Tree) []Environment {
	var found []Environment
	flux := readFlux(files)
	for _, name := range preview.Environments(files.Index()) {
		dir := path.Join("clusters", name)
		if flux.has(dir) || !hasManifests(files, dir) && len(flux.roots(dir)) == 0 {
			found = append(found, Environment{name, dir})
			continue
		}
		for _, below := range flux.roots(dir) {
			found = append(found, Environment{strings.TrimPrefix(below, "clusters/"), below})
		}
	}
	if len(found) > 0 {
		return found
	}
	dirs := flux.roots(".")
	if len(dirs) == 0 {
		dirs = buildable(files)
	}
	for _, dir := range dirs {
		found = append(found, Environment{dir, dir})
	}
	if len(found) == 0 {
		return []Environment{{Name: ".", Path: ""}}
	}
	return found
}

// flux is where a tree has Kustomizations of Flux, and which paths those deliver.
type flux struct{ dirs, delivered []string }

// largest is how large a file may be that is looked through for its place in the tree.
const largest = 1 << 20

func isManifest(entry tree.Entry) bool {
	ext := path.Ext(entry.Path)
	return (ext == ".yaml" || ext == ".yml") && entry.Size <= largest
}

func readFlux(files tree.Tree) flux {
	var found flux
	for _, entry := range files.Index().Entries() {
		if !isManifest(entry) {
			continue
		}
		content, err := files.Read(entry.Path)
		if err != nil || !bytes.Contains(content, []byte(kustomizev1.GroupVersion.Group)) {
			continue
		}
		objects, err := preview.ReadManifests(bytes.NewReader(content))
		if err != nil {
			continue // the build says it better
		}
		for _, one := range objects {
			if one.GetKind() != kustomizev1.KustomizationKind || one.GroupVersionKind().Group != kustomizev1.GroupVersion.Group {
				continue
			}
			found.dirs = append(found.dirs, path.Dir(entry.Path))
			spec, _ := one.Object["spec"].(map[string]any)
			if to, _ := spec["path"].(string); to != "" {
				found.delivered = append(found.delivered, tree.Clean(to))
			}
		}
	}
	slices.Sort(found.dirs)
	found.dirs = slices.Compact(found.dirs)
	return found
}

func within(dir, top string) bool { return top == "." || dir == top || strings.HasPrefix(dir, top+"/") }

// has tells whether a Kustomization stands in a folder or one directly below it, as bootstrap writes it.
func (f flux) has(dir string) bool {
	return slices.ContainsFunc(f.dirs, func(one string) bool { return one == dir || path.Dir(one) == dir && path.Base(one) == preview.RootName })
}

// roots returns the folders below one that have Kustomizations and are part of nothing that is delivered.
func (f flux) roots(top string) []string {
	var found []string
	for _, dir := range f.dirs {
		covered := slices.ContainsFunc(f.delivered, func(to string) bool { return to != "." && within(dir, to) && to != dir })
		inside := slices.ContainsFunc(found, func(root string) bool { return within(dir, root) })
		if within(dir, top) && !covered && !inside && !slices.Contains(f.delivered, dir) {
			found = append(found, dir)
		}
	}
	return found
}

func hasManifests(files tree.Tree, dir string) bool {
	names, _ := files.Index().Names(dir)
	return slices.ContainsFunc(names, func(name string) bool { return path.Ext(name) == ".yaml" || path.Ext(name) == ".yml" })
}

// buildable returns the folders with a kustomization file that no other kustomization file names, without
// components.
func buildable(files tree.Tree) []string {
	var dirs, named []string
	for _, entry := range files.Index().Entries() {
		base := path.Base(entry.Path)
		if base != "kustomization.yaml" && base != "kustomization.yml" && base != "Kustomization" || entry.Size > largest {
			continue
		}
		content, err := files.Read(entry.Path)
		if err != nil {
			continue
		}
		var read struct {
			Kind                         string
			Resources, Bases, Components []string
		}
		if yaml.Unmarshal(content, &read) != nil || read.Kind == "Component" {
			continue
		}
		dir := path.Dir(entry.Path)
		dirs = append(dirs, dir)
		for _, list := range [][]string{read.Resources, read.Bases, read.Components} {
			for _, one := range list {
				named = append(named, path.Join(dir, one))
			}
		}
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return slices.Contains(named, dir) })
}
