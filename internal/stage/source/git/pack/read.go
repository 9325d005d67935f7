package pack

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
)

// Read returns an object whose size is at most limit, verified against its hash.
func (s *Store) Read(hash plumbing.Hash, limit int64) (plumbing.ObjectType, []byte, error) {
	size, err := s.Size(hash)
	if err != nil {
		return plumbing.InvalidObject, nil, err
	}
	if size > limit {
		return plumbing.InvalidObject, nil, &LimitError{What: fmt.Sprintf("size of object %s in bytes", hash), Limit: limit}
	}
	at, _, err := s.locate(hash)
	if err != nil {
		return plumbing.InvalidObject, nil, err
	}
	kind, content, err := s.materialize(at, 0)
	if err != nil {
		return plumbing.InvalidObject, nil, fmt.Errorf("%w: object %s: %w", ErrCorrupt, hash, err)
	}
	hasher := newHasher(kind, int64(len(content)))
	_, _ = hasher.Write(content)
	if plumbing.Hash(hasher.Sum(nil)) != hash {
		return plumbing.InvalidObject, nil, fmt.Errorf("%w: object %s does not match its name", ErrCorrupt, hash)
	}
	return kind, content, nil
}

// Open reads a blob of at most limit bytes as a stream. The stream ends in ErrCorrupt, not in
// io.EOF, where the bytes are not those that the hash names.
func (s *Store) Open(hash plumbing.Hash, limit int64) (io.ReadCloser, error) {
	at, h, err := s.locate(hash)
	if err != nil {
		return nil, err
	}
	if h.kind != plumbing.BlobObject {
		return s.openWhole(hash, limit)
	}
	if h.size > limit {
		return nil, &LimitError{What: fmt.Sprintf("size of object %s in bytes", hash), Limit: limit}
	}
	inflated, done, err := s.inflate(at, h)
	if err != nil {
		return nil, fmt.Errorf("%w: object %s: %w", ErrCorrupt, hash, err)
	}
	return &verified{
		in: inflated, done: done, want: hash, left: h.size,
		hasher: newHasher(plumbing.BlobObject, h.size),
	}, nil
}

func (s *Store) openWhole(hash plumbing.Hash, limit int64) (io.ReadCloser, error) {
	kind, content, err := s.Read(hash, limit)
	if err != nil {
		return nil, err
	}
	if kind != plumbing.BlobObject {
		return nil, fmt.Errorf("object %s is a %s, not a blob", hash, kind)
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

// verified is a stream that checks itself against a hash.
type verified struct {
	in     io.Reader
	done   func()
	want   plumbing.Hash
	left   int64
	hasher hash.Hash
	err    error // sticky
}

func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.in.Read(p)
	_, _ = v.hasher.Write(p[:n])
	v.left -= int64(n)
	switch {
	case v.left < 0:
		v.err = fmt.Errorf("%w: object %s does not match its name", ErrCorrupt, v.want)
		return 0, v.err
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		v.err = fmt.Errorf("%w: object %s: %w", ErrCorrupt, v.want, err)
	case v.left != 0 || plumbing.Hash(v.hasher.Sum(nil)) != v.want:
		v.err = fmt.Errorf("%w: object %s does not match its name", ErrCorrupt, v.want)
	default:
		v.err = io.EOF
	}
	return n, v.err
}

// Close implements io.Closer.
func (v *verified) Close() error {
	if v.done != nil {
		v.done()
		v.done = nil
	}
	if v.err == nil {
		v.err = errClosed
	}
	return nil
}

var errClosed = errors.New("reading a file that is closed")

// materialize returns an object's content with all deltas applied. The sizes are within bounds:
// Receive has measured every chain.
func (s *Store) materialize(at place, depth int) (plumbing.ObjectType, []byte, error) {
	if found, ok := s.remembered(at); ok {
		return found.kind, found.content, nil
	}
	if depth > maxDepth {
		return plumbing.InvalidObject, nil, fmt.Errorf("%w: delta chain is too long", errMalformed)
	}
	h, err := s.headerAt(at)
	if err != nil {
		return plumbing.InvalidObject, nil, err
	}
	content, err := s.contentAt(at, h)
	if err != nil || !h.isDelta() {
		return h.kind, content, err
	}
	from := place{pack: at.pack, offset: h.base}
	if h.kind == plumbing.REFDeltaObject {
		if from.offset, err = at.pack.index.FindOffset(h.ref); err != nil {
			return plumbing.InvalidObject, nil, fmt.Errorf("finding the base of a delta: %w", err)
		}
	}
	kind, original, err := s.materialize(from, depth+1)
	if err != nil {
		return plumbing.InvalidObject, nil, err
	}
	s.remember(from, base{kind: kind, content: original})
	content, err = applyDelta(original, content)
	return kind, content, err
}

func (s *Store) contentAt(at place, h header) ([]byte, error) {
	inflated, done, err := s.inflate(at, h)
	if err != nil {
		return nil, err
	}
	defer done()
	// A damaged header may name any size, so memory grows with what is really there.
	content := bytes.NewBuffer(make([]byte, 0, min(h.size, 1<<20)))
	if err := copyExactly(content, inflated, h.size); err != nil {
		return nil, err
	}
	return content.Bytes(), nil
}

func (s *Store) remembered(at place) (base, bool) {
	s.cacheMu.Lock()
	defer s.cacheMu.Unlock()
	found, ok := s.cache[at]
	return found, ok
}

func (s *Store) remember(at place, found base) {
	s.cacheMu.Lock()
	defer s.cacheMu.Unlock()
	if _, known := s.cache[at]; known || len(found.content) > maxCached/4 {
		return
	}
	if s.cached+len(found.content) > maxCached {
		clear(s.cache)
		s.cached = 0
	}
	s.cache[at] = found
	s.cached += len(found.content)
}
