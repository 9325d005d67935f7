package preview

import (
	"fmt"
	"strings"

	"holdfast.dev/holdfast/internal/model/tree"
)

// Source names a source in the cluster. In Options.Sources, an empty kind or namespace fits any.
type Source struct{ Kind, Namespace, Name string }

// String writes the source as people name it: "GitRepository flux-system/platform".
func (s Source) String() string { return s.Kind + " " + s.Namespace + "/" + s.Name }

// ParseSource reads "[[KIND/]NAMESPACE/]NAME=DIR": a source and the folder that holds its files.
func ParseSource(text string) (source Source, dir string, err error) {
	name, dir, found := strings.Cut(text, "=")
	parts := strings.Split(name, "/")
	source.Name = parts[len(parts)-1]
	if !found || source.Name == "" || dir == "" || len(parts) > 3 {
		return Source{}, "", fmt.Errorf("%q names no source", text)
	}
	if len(parts) > 1 {
		source.Namespace = parts[len(parts)-2]
	}
	if len(parts) > 2 {
		source.Kind = parts[0]
	}
	return source, dir, nil
}

// treeOf returns the tree of a source.
func (w *walk) treeOf(source Source) (tree.Tree, bool) {
	if files, found := TreeOf(w.Sources, source); found {
		return files, true
	}
	return w.Tree, source == w.home
}

// TreeOf looks a source up among those that were named.
func TreeOf(sources map[Source]tree.Tree, source Source) (tree.Tree, bool) {
	for named, files := range sources {
		if named.Name == source.Name &&
			(named.Namespace == "" || named.Namespace == source.Namespace) &&
			(named.Kind == "" || named.Kind == source.Kind) {
			return files, true
		}
	}
	return nil, false
}
