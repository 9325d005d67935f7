package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"holdfast.dev/holdfast/internal/model/tree"
)

// verbatim is the encoding of a file that is served byte by byte as it came. It is no tree.
const verbatim = "verbatim"

// PutFile stores a file as it is, to be published under its own digest. Get finds a tree under that digest
// only where an Alias names one.
func (s *Store) PutFile(ctx context.Context, revision string, content io.Reader) (digest string, size int64, err error) {
	file, name, err := s.createScratch()
	if err != nil {
		return "", 0, fmt.Errorf("storing file %s: %w", revision, err)
	}
	sum := sha256.New()
	size, err = io.Copy(io.MultiWriter(file, sum), readerOf(ctx, content))
	if err != nil {
		return "", 0, fmt.Errorf("storing file %s: %w", revision, errors.Join(err, file.Close(), s.root.Remove(name)))
	}
	digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	s.mu.Lock()
	_, stored := s.used[digest]
	if stored {
		s.used[digest] = s.options.Now()
	}
	s.mu.Unlock()
	if stored {
		return digest, size, errors.Join(file.Close(), s.root.Remove(name))
	}
	body := &body{digest: digest, first: revision, size: size, file: file, encoding: verbatim, index: tree.NewIndex(nil)}
	if err := s.keep(name, body); err != nil {
		return "", 0, fmt.Errorf("storing file %s: %w", revision, errors.Join(err, file.Close(), s.root.RemoveAll(name)))
	}
	s.mu.Lock()
	delete(s.bodies, digest) // it is no tree that somebody holds
	s.mu.Unlock()
	return digest, size, file.Close()
}

// readerOf ends a copy when the context ends.
func readerOf(ctx context.Context, content io.Reader) io.Reader {
	return readerFunc(func(into []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return content.Read(into)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(into []byte) (int, error) { return f(into) }

// errNoTree says that a file was stored as it is.
type errNoTree struct{}

func (errNoTree) Error() string        { return "it is a file, and not a tree" }
func (errNoTree) Is(target error) bool { return target == fs.ErrNotExist }
