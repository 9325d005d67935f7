package pack

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1" //nolint:gosec // Git's object names are SHA-1
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
)

// entry is one object of a pack that is being indexed.
type entry struct {
	header
	offset int64
	end    int64
	crc    uint32
	hash   plumbing.Hash // zero until known
	actual plumbing.ObjectType
}

// indexer checks a pack file and finds out what is in it.
type indexer struct {
	ctx      context.Context //nolint:containedctx // lives as long as one call of Receive
	file     *os.File
	size     int64 // with the trailer
	limits   Limits
	base     Base
	entries  []entry
	inflated int64
	zlib     io.ReadCloser
	encoder  encoder
	appended bool

	children map[int64][]int         // offset of a base to the entries that are offset deltas of it
	byHash   map[plumbing.Hash][]int // base to the entries that are reference deltas of it
	held     int64                   // bytes of objects in memory
	depth    int
}

// maxDepth is Git's own bound for delta chains.
const maxDepth = 4095

func (x *indexer) index() error {
	count, err := x.checkFrame()
	if err != nil {
		return err
	}
	if count == 0 {
		return fmt.Errorf("%w: no objects", errMalformed)
	}
	if int64(count) > int64(x.limits.Objects) {
		return &LimitError{What: "number of objects in the pack", Limit: int64(x.limits.Objects)}
	}
	if err := x.scan(int(count)); err != nil {
		return err
	}
	return x.resolve()
}

// checkFrame checks the pack's header and its checksum, and returns the number of objects.
func (x *indexer) checkFrame() (uint32, error) {
	var head [packHeaderSize]byte
	if _, err := x.file.ReadAt(head[:], 0); err != nil {
		return 0, err
	}
	if string(head[:4]) != "PACK" {
		return 0, fmt.Errorf("%w: not a pack", errMalformed)
	}
	if version := binary.BigEndian.Uint32(head[4:]); version != 2 {
		return 0, fmt.Errorf("%w: version %d", errMalformed, version)
	}
	sum, err := x.checksum(x.size - trailerSize)
	if err != nil {
		return 0, err
	}
	var trailer plumbing.Hash
	if _, err := x.file.ReadAt(trailer[:], x.size-trailerSize); err != nil {
		return 0, err
	}
	if sum != trailer {
		return 0, fmt.Errorf("%w: checksum mismatch, the transfer was cut off or altered", errMalformed)
	}
	return binary.BigEndian.Uint32(head[8:]), nil
}

func (x *indexer) checksum(size int64) (plumbing.Hash, error) {
	sum := sha1.New() //nolint:gosec // Git's format
	_, err := io.Copy(sum, io.NewSectionReader(x.file, 0, size))
	return plumbing.Hash(sum.Sum(nil)), err
}

// scan reads each object once: sizes and checksums of all, hashes of those that are no delta.
func (x *indexer) scan(count int) error {
	in := newCounting(x.file, packHeaderSize, x.size-trailerSize)
	x.children, x.byHash = map[int64][]int{}, map[plumbing.Hash][]int{}
	known := make(map[int64]struct{}, min(count, 1<<16))
	for range count {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		e := entry{offset: in.offset}
		var err error
		if e.header, err = readHeader(in, in.offset); err != nil {
			return unexpected(err)
		}
		if err := x.inflate(in, &e); err != nil {
			return unexpected(err)
		}
		e.end = in.offset
		if e.crc, err = x.crc(e.offset, e.end); err != nil {
			return err
		}
		switch e.kind {
		case plumbing.OFSDeltaObject:
			if _, found := known[e.base]; !found {
				return fmt.Errorf("%w: delta without its base", errMalformed)
			}
			x.children[e.base] = append(x.children[e.base], len(x.entries))
		case plumbing.REFDeltaObject:
			x.byHash[e.ref] = append(x.byHash[e.ref], len(x.entries))
		default:
		}
		known[e.offset] = struct{}{}
		x.entries = append(x.entries, e)
	}
	if in.offset != x.size-trailerSize {
		return fmt.Errorf("%w: bytes after the last object", errMalformed)
	}
	return nil
}

// inflate passes over the deflated bytes of an object. It hashes objects, and of deltas it learns
// how large their target is.
func (x *indexer) inflate(in *counting, e *entry) error {
	if err := x.spend(e.size); err != nil {
		return err
	}
	inflated, err := x.reader(in)
	if err != nil {
		return err
	}
	if e.isDelta() {
		return x.measure(inflated, e)
	}
	hasher := newHasher(e.kind, e.size)
	if err := copyExactly(hasher, inflated, e.size); err != nil {
		return err
	}
	e.hash, e.actual = plumbing.Hash(hasher.Sum(nil)), e.kind
	return nil
}

func (x *indexer) measure(inflated io.Reader, e *entry) error {
	var start bytes.Buffer
	if err := copyExactly(&firstBytes{to: &start, left: 20}, inflated, e.size); err != nil {
		return err
	}
	_, target, _, err := deltaSizes(start.Bytes())
	if err != nil {
		return err
	}
	if target > x.limits.Memory {
		return &LimitError{What: "memory for resolving deltas in bytes", Limit: x.limits.Memory}
	}
	return x.spend(target)
}

func (x *indexer) spend(size int64) error {
	x.inflated += size
	if x.inflated > x.limits.Inflated {
		return &LimitError{What: "sum of the sizes of all objects in bytes", Limit: x.limits.Inflated}
	}
	return nil
}

func (x *indexer) reader(in io.Reader) (io.Reader, error) {
	if x.zlib == nil {
		var err error
		x.zlib, err = zlib.NewReader(in)
		return x.zlib, err
	}
	return x.zlib, x.zlib.(zlib.Resetter).Reset(in, nil)
}

func (x *indexer) crc(from, to int64) (uint32, error) {
	sum := crc32.NewIEEE()
	_, err := io.Copy(sum, io.NewSectionReader(x.file, from, to-from))
	return sum.Sum32(), err
}

// newHasher starts the hash that names an object.
func newHasher(kind plumbing.ObjectType, size int64) hash.Hash {
	hasher := sha1.New() //nolint:gosec // Git's format
	_, _ = fmt.Fprintf(hasher, "%s %d\x00", kind, size)
	return hasher
}

// copyExactly copies size bytes and insists that the input ends there; the end is where zlib checks
// its own checksum.
func copyExactly(w io.Writer, r io.Reader, size int64) error {
	n, err := io.Copy(w, io.LimitReader(r, size+1))
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%w: object has not the size it says", errMalformed)
	}
	return nil
}

// firstBytes keeps the start of what is written to it.
type firstBytes struct {
	to   *bytes.Buffer
	left int
}

func (f *firstBytes) Write(p []byte) (int, error) {
	n := min(f.left, len(p))
	f.to.Write(p[:n])
	f.left -= n
	return len(p), nil
}
