package store

import (
	"fmt"
	"io/fs"
	"os"
	"sort"

	"holdfast.dev/holdfast/internal/model/tree"
)

// Tree is a stored tree. It keeps its archive open, so it stays readable for as long as it is
// referenced, even when the store has removed the file meanwhile. Only the index is in memory.
type Tree struct {
	*body
	revision string
}

var _ tree.Tree = (*Tree)(nil)

// body is what trees of equal content share.
type body struct {
	digest   string
	first    string // the revision under which the content was first stored
	size     int64
	encoding string
	file     *os.File // closed by the garbage collector with the last Tree
	index    *tree.Index
	places   []place // of the index's entries, in the same order
}

// Revision implements tree.Tree.
func (t *Tree) Revision() string { return t.revision }

// Digest implements tree.Tree.
func (t *Tree) Digest() string { return t.digest }

// Size returns the size of the archive in bytes.
func (t *Tree) Size() int64 { return t.size }

// Index implements tree.Tree.
func (t *Tree) Index() *tree.Index { return t.index }

// As returns the same tree under another revision: equal content has one archive, but a revision for
// each source and commit that it came from.
func (t *Tree) As(revision string) *Tree { return &Tree{body: t.body, revision: revision} }

// Read implements tree.Tree. The caller owns the result.
func (t *Tree) Read(name string) ([]byte, error) {
	name = tree.Clean(name)
	entries := t.index.Entries()
	i := sort.Search(len(entries), func(i int) bool { return entries[i].Path >= name })
	if i == len(entries) || entries[i].Path != name {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	content, err := readMember(t.file, t.places[i], entries[i].Size)
	if err != nil {
		return nil, fmt.Errorf("reading %s of tree %s: %w", name, t.digest, err)
	}
	return content, nil
}
