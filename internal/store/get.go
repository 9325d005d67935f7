package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
	"weak"
)

// Get returns the tree with that digest, ours or that of a foreign archive with an alias. The first
// time in a process, the archive's content is checked against the digest. The error wraps
// fs.ErrNotExist when there is no such tree; one whose content is damaged is removed and then does
// not exist either.
func (s *Store) Get(digest string) (*Tree, error) {
	own, held := s.touch(digest)
	if own == "" {
		return nil, fmt.Errorf("opening tree %s: %w", digest, fs.ErrNotExist)
	}
	if held != nil {
		return held, nil
	}
	opened, err, _ := s.opening.Do(own, func() (any, error) { return s.open(own) })
	if err != nil {
		return nil, fmt.Errorf("opening tree %s: %w", digest, err)
	}
	return opened.(*Tree), nil
}

// touch resolves an alias and notes the use, so that the tree is not pruned meanwhile. It returns
// the tree at once where somebody holds it, and no digest where there is no such tree.
func (s *Store) touch(digest string) (own string, held *Tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if target, aliased := s.aliases[canonical(digest)]; aliased {
		digest = target
	}
	last, stored := s.used[digest]
	if !stored {
		return "", nil
	}
	now := s.options.Now()
	if now.Sub(last) > touchEvery {
		// The time on disk only decides how long a foreign tree outlives a restart.
		_ = s.root.Chtimes(fileOf(digest, indexSuffix), now, now)
	}
	s.used[digest] = now
	if body := s.bodies[digest].Value(); body != nil {
		return digest, &Tree{body: body, revision: body.first}
	}
	return digest, nil
}

// touchEvery limits how often the last use is written to disk.
const touchEvery = 10 * time.Minute

// canonical is the form of a digest in which aliases are kept.
func canonical(digest string) string {
	algorithm, hex, err := ParseDigest(digest)
	if err != nil {
		return digest
	}
	return algorithm + ":" + hex
}

// open reads a tree from disk, verifies it and remembers it for as long as somebody holds it.
func (s *Store) open(digest string) (*Tree, error) {
	body, err := s.openBody(digest)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies[digest] = weak.Make(body)
	return &Tree{body: body, revision: body.first}, nil
}

func (s *Store) openBody(digest string) (*body, error) {
	content, err := s.root.ReadFile(fileOf(digest, indexSuffix))
	if err != nil {
		return nil, s.discardIfGone(digest, err)
	}
	body, err := decodeRecord(content, digest)
	if err != nil {
		return nil, s.discard(digest, err)
	}
	if body.encoding == verbatim {
		return nil, errNoTree{}
	}
	if body.file, err = s.openVerified(digest); err != nil {
		return nil, err
	}
	return body, nil
}

// openVerified opens an archive. Its content is checked unless this process has checked this very
// file before.
func (s *Store) openVerified(digest string) (*os.File, error) {
	file, err := s.root.Open(fileOf(digest, archiveSuffix))
	if err != nil {
		return nil, s.discardIfGone(digest, err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s.mu.Lock()
	before, known := s.verified[digest]
	s.mu.Unlock()
	if known && os.SameFile(before, info) && before.Size() == info.Size() && before.ModTime().Equal(info.ModTime()) {
		return file, nil
	}
	if err := verify(file, digest); errors.Is(err, ErrDamaged) {
		return nil, errors.Join(s.discard(digest, err), file.Close())
	} else if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s.mu.Lock()
	s.verified[digest] = info
	s.mu.Unlock()
	return file, nil
}

// ErrDamaged is in the error of a tree that was removed because its content was not what it should be.
var ErrDamaged = errors.New("content does not match the digest")

func verify(file io.ReaderAt, digest string) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(file, 0, 1<<62)); err != nil {
		return err
	}
	if digest != "sha256:"+hex.EncodeToString(sum.Sum(nil)) {
		return ErrDamaged
	}
	return nil
}

// discard removes a tree that cannot be used and returns why, as an error that says it is gone.
func (s *Store) discard(digest string, why error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.remove(digest); err != nil {
		return errors.Join(why, err)
	}
	return &absentError{why: why}
}

// discardIfGone forgets a tree that somebody deleted; any other error (too many open files, a disk
// that does not answer) may pass and must not cost the tree.
func (s *Store) discardIfGone(digest string, why error) error {
	if errors.Is(why, fs.ErrNotExist) {
		return s.discard(digest, why)
	}
	return why
}

// remove deletes a tree's files and forgets it. The caller holds the lock.
func (s *Store) remove(digest string) error {
	delete(s.used, digest)
	delete(s.verified, digest)
	delete(s.bodies, digest)
	for _, suffix := range []string{indexSuffix, archiveSuffix} {
		if err := s.root.Remove(fileOf(digest, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing tree %s: %w", digest, err)
		}
	}
	return nil
}

// absentError says that a tree does not exist any more, and why.
type absentError struct{ why error }

func (e *absentError) Error() string        { return e.why.Error() }
func (e *absentError) Unwrap() error        { return e.why }
func (e *absentError) Is(target error) bool { return target == fs.ErrNotExist }

// Check tells whether a tree can be opened, at the price of a look at its file once it was verified.
func (s *Store) Check(digest string) error {
	own, held := s.touch(digest)
	if own == "" {
		return fmt.Errorf("checking tree %s: %w", digest, fs.ErrNotExist)
	}
	if held != nil {
		return nil
	}
	file, err := s.openVerified(own)
	if err != nil {
		return fmt.Errorf("checking tree %s: %w", digest, err)
	}
	return file.Close()
}
