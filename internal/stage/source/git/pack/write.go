package pack

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1" //nolint:gosec // Git's object names are SHA-1
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
)

// Copy writes the named objects of a store to the folder dir as one new pack. Each object is read
// and verified on the way, and none of them becomes a delta, so any later reader is simple and fast.
func Copy(ctx context.Context, dir string, from *Store, hashes []plumbing.Hash, limits Limits) (Received, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Received{}, fmt.Errorf("writing pack: %w", err)
	}
	file, err := os.CreateTemp(dir, "outgoing-*")
	if err != nil {
		return Received{}, fmt.Errorf("writing pack: %w", err)
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	if err := write(ctx, file, from, hashes, limits.Memory); err != nil {
		return Received{}, fmt.Errorf("writing pack: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return Received{}, fmt.Errorf("writing pack: %w", err)
	}
	// Reading it back through the same checks as a foreign pack yields the index, and a second look.
	limits.Bytes, limits.Inflated, limits.Objects = maxObjectSize, maxObjectSize, len(hashes)
	return Receive(ctx, dir, file, limits, nil)
}

func write(ctx context.Context, file *os.File, from *Store, hashes []plumbing.Hash, limit int64) error {
	sum := sha1.New() //nolint:gosec // Git's format
	buffered := bufio.NewWriterSize(file, 256<<10)
	out := io.MultiWriter(buffered, sum)
	head := append([]byte("PACK"), 0, 0, 0, 2)
	head = binary.BigEndian.AppendUint32(head, uint32(len(hashes))) //nolint:gosec // far below
	if _, err := out.Write(head); err != nil {
		return err
	}
	var encoder encoder
	for _, hash := range hashes {
		if err := ctx.Err(); err != nil {
			return err
		}
		kind, content, err := from.Read(hash, limit)
		if err != nil {
			return err
		}
		encoded, err := encoder.encode(kind, content)
		if err != nil {
			return err
		}
		if _, err := out.Write(encoded); err != nil {
			return err
		}
	}
	_, err := buffered.Write(sum.Sum(nil))
	return errors.Join(err, buffered.Flush())
}

// encoder deflates objects one after the other. Its zero value is ready.
type encoder struct {
	out     bytes.Buffer
	deflate *zlib.Writer // a megabyte: too much to make anew for each object
}

// encode is an object as a pack holds it, valid until the next call.
func (e *encoder) encode(kind plumbing.ObjectType, content []byte) ([]byte, error) {
	e.out.Reset()
	e.out.Write(appendHeader(nil, kind, int64(len(content))))
	if e.deflate == nil {
		var err error
		if e.deflate, err = zlib.NewWriterLevel(&e.out, zlib.BestSpeed); err != nil {
			return nil, err
		}
	} else {
		e.deflate.Reset(&e.out)
	}
	if _, err := e.deflate.Write(content); err != nil {
		return nil, err
	}
	err := e.deflate.Close()
	return e.out.Bytes(), err
}
