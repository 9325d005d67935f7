package kustomize

import (
	"path"
	"slices"
	"strings"

	"holdfast.dev/holdfast/internal/stage/render/confine"
)

// origins finds the file that an object came from, for messages, by the identities that the files
// of a build declare. Builds rename objects, so what it finds is the best guess, or nothing.
type origins map[string][]declared // by kind

type declared struct{ name, file string }

// origins reads the facts of all files that are resources of a build.
func (b *Builder) origins(f *confine.Files) origins {
	found := origins{}
	slices.Sort(f.Listed)
	for _, name := range slices.Compact(f.Listed) {
		known, err := b.factsOf(f, name, f.Hash(name))
		if err != nil {
			continue
		}
		for _, doc := range known.Docs {
			for _, object := range doc.Objects {
				found[object.Kind] = append(found[object.Kind], declared{object.Name, name})
			}
		}
	}
	return found
}

// of returns the file that declares the object, or whose name for it the build extended.
func (o origins) of(built *Built) string {
	best, length, sure := "", 0, false
	for _, candidate := range o[built.Kind] {
		switch {
		case candidate.name == built.Name && !sure:
			best, length, sure = candidate.file, len(candidate.name), true
		case candidate.name == built.Name && best != candidate.file:
			return "" // one name in several namespaces
		case !sure && len(candidate.name) > length && strings.Contains(built.Name, candidate.name):
			best, length = candidate.file, len(candidate.name)
		}
	}
	return best
}

// joinDir resolves a path of a kustomization file.
func joinDir(kustomizationFile, name string) string {
	return path.Join(path.Dir(kustomizationFile), name)
}
