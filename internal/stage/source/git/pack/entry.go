package pack

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
)

// ErrCorrupt says that stored objects are not what they should be: a pack is missing, cut off, or
// altered. Whoever meets it throws the repository away and fetches again.
var ErrCorrupt = errors.New("the repository on disk is corrupted")

// errMalformed says that a received pack breaks the format.
var errMalformed = errors.New("malformed pack")

// header is what a pack says of one object before its deflated bytes.
type header struct {
	kind   plumbing.ObjectType
	size   int64         // inflated; of a delta: of the instructions
	base   int64         // offset of the base of an offset delta
	ref    plumbing.Hash // base of a reference delta
	length int           // bytes of the header itself
}

func (h header) isDelta() bool {
	return h.kind == plumbing.OFSDeltaObject || h.kind == plumbing.REFDeltaObject
}

// maxObjectSize keeps sizes far from where arithmetic overflows.
const maxObjectSize = int64(1) << 50

// readHeader reads an object's header that starts at offset.
func readHeader(r io.ByteReader, offset int64) (header, error) {
	var h header
	first, err := r.ReadByte()
	if err != nil {
		return h, err
	}
	h.length = 1
	h.kind = plumbing.ObjectType(first >> 4 & 7)
	h.size = int64(first & 15)
	for shift := 4; first&0x80 != 0; shift += 7 {
		if first, err = r.ReadByte(); err != nil {
			return h, unexpected(err)
		}
		h.length++
		if shift > 46 {
			return h, fmt.Errorf("%w: object size out of range", errMalformed)
		}
		h.size |= int64(first&0x7f) << shift
	}
	if h.size > maxObjectSize {
		return h, fmt.Errorf("%w: object size out of range", errMalformed)
	}
	switch h.kind {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
		return h, nil
	case plumbing.OFSDeltaObject:
		return h, h.readBaseOffset(r, offset)
	case plumbing.REFDeltaObject:
		for i := range h.ref {
			if h.ref[i], err = r.ReadByte(); err != nil {
				return h, unexpected(err)
			}
		}
		h.length += len(h.ref)
		return h, nil
	default:
		return h, fmt.Errorf("%w: unknown object type %d", errMalformed, h.kind)
	}
}

func (h *header) readBaseOffset(r io.ByteReader, offset int64) error {
	b, err := r.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	h.length++
	distance := int64(b & 0x7f)
	for b&0x80 != 0 {
		if b, err = r.ReadByte(); err != nil {
			return unexpected(err)
		}
		h.length++
		if distance > maxObjectSize {
			return fmt.Errorf("%w: delta base out of range", errMalformed)
		}
		distance = (distance+1)<<7 | int64(b&0x7f)
	}
	h.base = offset - distance
	if distance <= 0 || h.base < packHeaderSize {
		return fmt.Errorf("%w: delta base out of range", errMalformed)
	}
	return nil
}

// appendHeader is the opposite of readHeader for objects that are no delta.
func appendHeader(out []byte, kind plumbing.ObjectType, size int64) []byte {
	b := byte(kind)<<4 | byte(size&15) //nolint:gosec // a kind has three bits
	for size >>= 4; size > 0; size >>= 7 {
		out = append(out, b|0x80)
		b = byte(size & 0x7f)
	}
	return append(out, b)
}

// unexpected turns an end of input in the middle of something into an error that says so.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", errMalformed, io.ErrUnexpectedEOF)
	}
	return err
}

// counting knows how far its reader has come. It is an io.ByteReader, so that inflating takes no
// byte beyond the end of an object.
type counting struct {
	in     *bufio.Reader
	offset int64
}

func newCounting(r io.ReaderAt, offset, size int64) *counting {
	return &counting{
		in:     bufio.NewReaderSize(io.NewSectionReader(r, offset, size-offset), 32<<10),
		offset: offset,
	}
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.offset += int64(n)
	return n, err
}

func (c *counting) ReadByte() (byte, error) {
	b, err := c.in.ReadByte()
	if err == nil {
		c.offset++
	}
	return b, err
}
