package pack

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // Git's object names are SHA-1
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
)

// Limits bound what a received pack may cost.
type Limits struct {
	Bytes    int64 // of the pack as it arrives
	Inflated int64 // sum of the sizes of all objects in it
	Objects  int   // number of objects
	Memory   int64 // of objects that are held at a time to resolve deltas
}

// Base returns an object that is stored already, for packs that hold deltas against it.
type Base func(hash plumbing.Hash) (plumbing.ObjectType, []byte, error)

// Received is a pack that is on disk, checked and indexed.
type Received struct {
	Name    string // "pack-…", without an extension
	Objects int
	Bytes   int64
}

const (
	packHeaderSize = 12
	trailerSize    = sha1.Size
)

// LimitError says that something is larger than allowed.
type LimitError struct {
	What  string
	Limit int64
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s exceeds the limit of %d", e.What, e.Limit)
}

// Receive writes the pack that r sends to the folder dir, checks and indexes it. On error nothing
// of it stays. An empty pack is an error.
func Receive(ctx context.Context, dir string, r io.Reader, limits Limits, base Base) (Received, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Received{}, fmt.Errorf("receiving pack: %w", err)
	}
	file, err := os.CreateTemp(dir, "incoming-*")
	if err != nil {
		return Received{}, fmt.Errorf("receiving pack: %w", err)
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name()) // not there any more after success
	}()
	size, err := copyLimited(file, r, limits.Bytes)
	if err != nil {
		return Received{}, fmt.Errorf("receiving pack: %w", err)
	}
	x := &indexer{ctx: ctx, file: file, size: size, limits: limits, base: base}
	if err := x.index(); err != nil {
		return Received{}, fmt.Errorf("receiving pack: %w", err)
	}
	return x.publish(dir)
}

func copyLimited(file *os.File, r io.Reader, limit int64) (int64, error) {
	size, err := io.Copy(file, io.LimitReader(r, limit+1))
	if err != nil {
		return 0, err
	}
	if size > limit {
		return 0, &LimitError{What: "size of the pack in bytes", Limit: limit}
	}
	if size < packHeaderSize+trailerSize {
		return 0, fmt.Errorf("%w: %w", errMalformed, io.ErrUnexpectedEOF)
	}
	return size, nil
}

// publish gives the pack and its index their final names, the index last: readers look for it.
func (x *indexer) publish(dir string) (Received, error) {
	checksum, err := x.seal()
	if err != nil {
		return Received{}, fmt.Errorf("receiving pack: %w", err)
	}
	name := "pack-" + hex.EncodeToString(checksum[:])
	index, err := x.encodeIndex(checksum)
	if err != nil {
		return Received{}, fmt.Errorf("indexing %s: %w", name, err)
	}
	if err := x.file.Chmod(0o400); err != nil {
		return Received{}, fmt.Errorf("storing %s: %w", name, err)
	}
	if err := os.Rename(x.file.Name(), filepath.Join(dir, name+".pack")); err != nil {
		return Received{}, fmt.Errorf("storing %s: %w", name, err)
	}
	if err := WriteFile(filepath.Join(dir, name+".idx"), index); err != nil {
		return Received{}, fmt.Errorf("storing index of %s: %w", name, err)
	}
	return Received{Name: name, Objects: len(x.entries), Bytes: x.size}, nil
}

// WriteFile replaces a file as a whole: readers see the old content or the new, never a part.
func WriteFile(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

func (x *indexer) encodeIndex(checksum plumbing.Hash) ([]byte, error) {
	writer := new(idxfile.Writer)
	if err := writer.OnHeader(uint32(len(x.entries))); err != nil { //nolint:gosec // bounded by Limits.Objects
		return nil, err
	}
	for i := range x.entries {
		entry := &x.entries[i]
		writer.Add(entry.hash, uint64(entry.offset), entry.crc) //nolint:gosec // offsets are positive
	}
	if err := writer.OnFooter(checksum); err != nil {
		return nil, err
	}
	index, err := writer.Index()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = idxfile.NewEncoder(&out).Encode(index)
	return out.Bytes(), err
}
