package preview

import (
	"context"
	"fmt"
	"slices"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/ignore"
	"holdfast.dev/holdfast/internal/store/dirtree"
)

// Folder is a directory on this machine as the source of units would deliver it: without the files
// that .sourceignore or Flux's defaults leave out.
type Folder struct {
	*dirtree.Tree

	index *tree.Index
}

// OpenFolder reads a directory. Close releases it.
func OpenFolder(ctx context.Context, dir string) (*Folder, error) {
	opened, err := dirtree.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	entries, err := ignore.Filter(slices.Clone(opened.Index().Entries()), opened.Read, nil)
	if err != nil {
		_ = opened.Close()
		return nil, fmt.Errorf("reading what %s leaves out: %w", dir, err)
	}
	return &Folder{Tree: opened, index: tree.NewIndex(entries)}, nil
}

// Index implements tree.Tree.
func (f *Folder) Index() *tree.Index { return f.index }
