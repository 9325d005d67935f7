// Package dirtree shows a directory on disk as a tree.
//
// In: the path of a directory. Out: a tree of its regular files. It never follows a symbolic link,
// never leaves the directory, and never returns a file whose content is not the one that it hashed.
package dirtree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"holdfast.dev/holdfast/internal/model/tree"
)

// Tree is a directory as it was when it was opened. It is safe for concurrent use.
type Tree struct {
	root   *os.Root
	index  *tree.Index
	digest string
}

var _ tree.Tree = (*Tree)(nil)

// maxFile bounds the files that are read: larger ones are no configuration.
const maxFile = 64 << 20

// Open hashes all regular files in a directory. It leaves out .git, symbolic links, and files that
// are larger than 64 MiB. Close releases the directory.
func Open(ctx context.Context, directory string) (*Tree, error) {
	root, err := os.OpenRoot(directory)
	if err != nil {
		return nil, fmt.Errorf("opening directory: %w", err)
	}
	t := &Tree{root: root}
	entries, err := t.collect(ctx)
	if err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("reading directory %s: %w", directory, err)
	}
	t.index = tree.NewIndex(entries)
	t.digest = digestOf(t.index)
	return t, nil
}

func (t *Tree) collect(ctx context.Context) ([]tree.Entry, error) {
	var entries []tree.Entry
	err := fs.WalkDir(t.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if entry.Name() == ".git" {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Size() > maxFile {
			return nil
		}
		data, err := t.load(name)
		if err != nil {
			return err
		}
		entries = append(entries, tree.Entry{Path: path.Clean(name), Hash: hashOf(data), Size: int64(len(data)), Mode: modeOf(info)})
		return nil
	})
	return entries, err
}

func (t *Tree) load(name string) ([]byte, error) {
	file, err := t.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("reading %s: file is larger than %d bytes", name, maxFile)
	}
	return data, nil
}

func modeOf(info fs.FileInfo) fs.FileMode {
	if info.Mode()&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func digestOf(index *tree.Index) string {
	sum := sha256.New()
	for _, entry := range index.Entries() {
		_, _ = fmt.Fprintf(sum, "%o %s %q\n", entry.Mode, entry.Hash, entry.Path)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// Revision implements tree.Tree.
func (t *Tree) Revision() string { return "local@" + t.digest }

// Digest implements tree.Tree.
func (t *Tree) Digest() string { return t.digest }

// Index implements tree.Tree.
func (t *Tree) Index() *tree.Index { return t.index }

// Read implements tree.Tree. A file that changed since the tree was opened is an error.
func (t *Tree) Read(name string) ([]byte, error) {
	entry, found := t.index.Find(name)
	if !found {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	data, err := t.load(entry.Path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", entry.Path, err)
	}
	if hashOf(data) != entry.Hash {
		return nil, fmt.Errorf("reading %s: the file changed since the directory was read", entry.Path)
	}
	return data, nil
}

// Close releases the directory. The tree must not be read after it.
func (t *Tree) Close() error { return t.root.Close() }
