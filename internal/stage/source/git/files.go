package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/git/mirror"
	"holdfast.dev/holdfast/internal/stage/source/git/pack"
)

// hashPrefix is the algorithm in the hash of an entry.
const hashPrefix = "sha1:"

// files implements Files.
type files struct {
	limit   int64
	entries []tree.Entry
	parts   []part // a submodule's part comes after that of its parent
}

// part is the repository that has the files below a prefix.
type part struct {
	prefix string
	lease  *mirror.Lease
}

// hold makes a lease part of the files; it is released when they are closed.
func (f *files) hold(prefix string, held *mirror.Lease) {
	f.parts = append(f.parts, part{prefix: prefix, lease: held})
}

// Entries implements Files.
func (f *files) Entries(ctx context.Context) ([]tree.Entry, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return append([]tree.Entry(nil), f.entries...), nil
}

// Open implements Files. The content is verified against the entry's hash as it is read: where it
// does not match, the stream ends in an error, and the next fetch starts with a new clone.
func (f *files) Open(entry tree.Entry) (io.ReadCloser, error) {
	name, found := strings.CutPrefix(entry.Hash, hashPrefix)
	if !found || !plumbing.IsHash(name) {
		return nil, fmt.Errorf("opening %q: it is not from this repository", entry.Path)
	}
	if entry.Size > f.limit {
		return nil, fmt.Errorf("opening %q: its %d bytes exceed the limit of %d", entry.Path, entry.Size, f.limit)
	}
	held := f.owner(entry.Path)
	stream, err := held.Store.Open(plumbing.NewHash(name), f.limit)
	if err != nil {
		condemnIfCorrupt(held, err)
		return nil, fmt.Errorf("opening %q: %w", entry.Path, err)
	}
	return &content{ReadCloser: stream, path: entry.Path, lease: held}, nil
}

// owner finds the innermost repository that a path belongs to.
func (f *files) owner(path string) *mirror.Lease {
	best := f.parts[0]
	for _, part := range f.parts[1:] {
		if within(path, part.prefix) && len(part.prefix) > len(best.prefix) {
			best = part
		}
	}
	return best.lease
}

// Close implements Files.
func (f *files) Close() error {
	var errs []error
	for _, part := range f.parts {
		errs = append(errs, part.lease.Release())
	}
	return errors.Join(errs...)
}

// content is a file that is read.
type content struct {
	io.ReadCloser
	path  string
	lease *mirror.Lease
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		condemnIfCorrupt(c.lease, err)
		err = fmt.Errorf("reading %q: %w", c.path, err)
	}
	return n, err
}

func condemnIfCorrupt(held *mirror.Lease, err error) {
	if errors.Is(err, pack.ErrCorrupt) {
		held.Condemn()
	}
}
