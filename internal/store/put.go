package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strconv"
	"time"
	"weak"

	"holdfast.dev/holdfast/internal/model/tree"
)

// Snapshot is the content of a tree to be stored.
type Snapshot struct {
	Revision string
	// Entries may be in any order; of two with the same path, the last one counts.
	Entries []tree.Entry
	// Open reads an entry's content. It is called once for each entry that previous does not have.
	Open func(tree.Entry) (io.ReadCloser, error)
}

// Put stores a snapshot and returns it as a tree. Files that previous (which may be nil) has with the
// same path, hash and mode are copied from it, without asking for their content. The result does not
// depend on previous: equal entries give an equal digest.
func (s *Store) Put(ctx context.Context, snapshot Snapshot, previous *Tree) (*Tree, error) {
	index, err := checked(snapshot.Entries)
	if err != nil {
		return nil, fmt.Errorf("storing tree %s: %w", snapshot.Revision, err)
	}
	if previous != nil && previous.encoding != s.encoding {
		previous = nil
	}
	if previous != nil && sameEntries(index, previous.index) {
		if stored, err := s.Get(previous.digest); err == nil {
			return stored.As(snapshot.Revision), nil
		}
	}
	written, err := s.write(ctx, snapshot, index, previous)
	if err != nil {
		return nil, fmt.Errorf("storing tree %s: %w", snapshot.Revision, err)
	}
	return written, nil
}

func sameEntries(index, other *tree.Index) bool {
	mine, theirs := index.Entries(), other.Entries()
	if len(mine) != len(theirs) {
		return false
	}
	for i := range mine {
		if mine[i] != theirs[i] {
			return false
		}
	}
	return true
}

// write builds the archive in the scratch folder and moves it to its place when it is whole.
func (s *Store) write(ctx context.Context, snapshot Snapshot, index *tree.Index, previous *Tree) (*Tree, error) {
	file, name, err := s.createScratch()
	if err != nil {
		return nil, err
	}
	writer := newArchiveWriter(file, previous)
	if err := writer.writeAll(ctx, index, snapshot.Open); err != nil {
		return nil, errors.Join(err, file.Close(), s.root.Remove(name))
	}
	body := writer.finish(file, index)
	body.encoding, body.first = s.encoding, snapshot.Revision
	if stored, err := s.Get(body.digest); err == nil {
		return stored.As(snapshot.Revision), errors.Join(file.Close(), s.root.Remove(name))
	}
	if err := s.keep(name, body); err != nil {
		return nil, errors.Join(err, file.Close(), s.root.RemoveAll(name))
	}
	return &Tree{body: body, revision: snapshot.Revision}, nil
}

// keep moves a finished archive to its place. The index comes last: only with it a tree is whole.
func (s *Store) keep(name string, body *body) error {
	content, err := encodeRecord(body)
	if err != nil {
		return fmt.Errorf("encoding index: %w", err)
	}
	info, err := body.file.Stat()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.root.Rename(name, fileOf(body.digest, archiveSuffix)); err != nil {
		return err
	}
	if err := s.replaceFile(fileOf(body.digest, indexSuffix), content); err != nil {
		return errors.Join(err, s.root.Remove(fileOf(body.digest, archiveSuffix)))
	}
	s.used[body.digest] = s.options.Now()
	s.verified[body.digest] = info
	s.bodies[body.digest] = weak.Make(body)
	return nil
}

// replaceFile writes a small file in one step: readers see the old content or the new one.
func (s *Store) replaceFile(name string, content []byte) error {
	file, scratch, err := s.createScratch()
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err == nil {
		if err = s.root.MkdirAll(path.Dir(name), 0o700); err == nil {
			err = s.root.Rename(scratch, name)
		}
	}
	if err != nil {
		return errors.Join(err, s.root.RemoveAll(scratch))
	}
	return nil
}

// createScratch creates a file with a new name in the scratch folder.
func (s *Store) createScratch() (file *os.File, name string, err error) {
	for attempt := range 100 {
		name = path.Join(scratchDir, strconv.FormatInt(time.Now().UnixNano(), 36)+"-"+strconv.Itoa(attempt))
		file, err = s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, os.ErrExist) {
			break
		}
	}
	return file, name, err
}

// archiveWriter writes an archive and knows where in it each member begins.
type archiveWriter struct {
	out      *counter
	buffer   *bufio.Writer
	sum      hash.Hash
	previous *Tree
	run      place // members of previous that follow one another and wait to be copied
	places   []place
}

func newArchiveWriter(file io.Writer, previous *Tree) *archiveWriter {
	sum := sha256.New()
	buffer := bufio.NewWriterSize(io.MultiWriter(file, sum), 256<<10)
	return &archiveWriter{out: &counter{Writer: buffer}, buffer: buffer, sum: sum, previous: previous}
}

func (w *archiveWriter) writeAll(ctx context.Context, index *tree.Index, open func(tree.Entry) (io.ReadCloser, error)) error {
	known := &cursor{tree: w.previous}
	for _, entry := range index.Entries() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if at, found := known.find(entry); found {
			if err := w.take(at); err != nil {
				return err
			}
			continue
		}
		if err := w.add(entry, open); err != nil {
			return fmt.Errorf("adding %s: %w", entry.Path, err)
		}
	}
	if err := w.copyRun(); err != nil {
		return err
	}
	if err := writeEnd(w.out); err != nil {
		return err
	}
	return w.buffer.Flush()
}

// take puts a member of the previous tree in line; neighbours are copied in one piece.
func (w *archiveWriter) take(at place) error {
	if at.Offset != w.run.Offset+w.run.Length {
		if err := w.copyRun(); err != nil {
			return err
		}
		w.run = place{Offset: at.Offset}
	}
	w.places = append(w.places, place{Offset: w.out.written + w.run.Length, Length: at.Length, Header: at.Header})
	w.run.Length += at.Length
	return nil
}

func (w *archiveWriter) copyRun() error {
	if w.run.Length == 0 {
		return nil
	}
	copied, err := io.Copy(w.out, io.NewSectionReader(w.previous.file, w.run.Offset, w.run.Length))
	if err == nil && copied != w.run.Length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("copying from tree %s: %w", w.previous.digest, err)
	}
	w.run = place{}
	return nil
}

// add compresses a new member.
func (w *archiveWriter) add(entry tree.Entry, open func(tree.Entry) (io.ReadCloser, error)) error {
	if err := w.copyRun(); err != nil {
		return err
	}
	content, err := open(entry)
	if err != nil {
		return err
	}
	at := place{Offset: w.out.written}
	at.Header, err = writeMember(w.out, entry, content)
	if err = errors.Join(err, content.Close()); err != nil {
		return err
	}
	at.Length = w.out.written - at.Offset
	w.places = append(w.places, at)
	return nil
}

func (w *archiveWriter) finish(file *os.File, index *tree.Index) *body {
	return &body{
		digest: "sha256:" + hex.EncodeToString(w.sum.Sum(nil)),
		size:   w.out.written,
		file:   file,
		index:  index,
		places: w.places,
	}
}

// cursor finds entries in a tree; as both are sorted, it never goes back.
type cursor struct {
	tree *Tree
	next int
}

func (c *cursor) find(entry tree.Entry) (place, bool) {
	if c.tree == nil {
		return place{}, false
	}
	entries := c.tree.index.Entries()
	for c.next < len(entries) && entries[c.next].Path < entry.Path {
		c.next++
	}
	if c.next == len(entries) || entries[c.next] != entry {
		return place{}, false
	}
	return c.tree.places[c.next], true
}
