package render_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"slices"

	"holdfast.dev/holdfast/internal/model/tree"
)

// memTree is a tree in memory.
type memTree struct {
	index *tree.Index
	files map[string]string
}

var _ tree.Tree = memTree{}

func treeOf(files map[string]string) memTree {
	entries := make([]tree.Entry, 0, len(files))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256([]byte(files[name]))
		entries = append(entries, tree.Entry{
			Path: name, Hash: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(files[name])), Mode: 0o644,
		})
	}
	return memTree{index: tree.NewIndex(entries), files: files}
}

func (t memTree) Revision() string   { return "main@sha1:test" }
func (t memTree) Digest() string     { return "sha256:test" }
func (t memTree) Index() *tree.Index { return t.index }

func (t memTree) Read(name string) ([]byte, error) {
	content, found := t.files[tree.Clean(name)]
	if !found {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(content), nil
}

// with returns a copy of the tree with some files replaced; an empty content removes the file.
func (t memTree) with(changes map[string]string) memTree {
	files := maps.Clone(t.files)
	for name, content := range changes {
		if content == "" {
			delete(files, name)
			continue
		}
		files[name] = content
	}
	return treeOf(files)
}
