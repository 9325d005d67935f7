package pack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/go-git/go-git/v5/plumbing"
)

// resolve finds the hashes of all deltas, base by base, so that no more than one chain of objects is
// in memory at a time.
func (x *indexer) resolve() error {
	for i := range x.entries {
		e := &x.entries[i]
		if e.isDelta() || !x.hasChildren(e) {
			continue
		}
		content, err := x.content(e)
		if err != nil {
			return err
		}
		if err := x.descend(e.offset, e.hash, e.kind, content); err != nil {
			return err
		}
	}
	if err := x.resolveThin(); err != nil {
		return err
	}
	for i := range x.entries {
		if x.entries[i].hash.IsZero() {
			return fmt.Errorf("%w: delta without its base", errMalformed)
		}
	}
	return nil
}

func (x *indexer) hasChildren(e *entry) bool {
	return len(x.children[e.offset]) > 0 || len(x.byHash[e.hash]) > 0
}

// descend resolves everything that is a delta of an object, and their deltas, depth first.
func (x *indexer) descend(offset int64, hash plumbing.Hash, kind plumbing.ObjectType, content []byte) error {
	if err := x.ctx.Err(); err != nil {
		return err
	}
	x.held += int64(len(content))
	x.depth++
	defer func() {
		x.held -= int64(len(content))
		x.depth--
	}()
	if x.held > x.limits.Memory {
		return &LimitError{What: "memory for resolving deltas in bytes", Limit: x.limits.Memory}
	}
	if x.depth > maxDepth {
		return fmt.Errorf("%w: delta chain is too long", errMalformed)
	}
	waiting := append(x.children[offset], x.byHash[hash]...)
	delete(x.byHash, hash) // the same object may be in the pack twice
	for _, i := range waiting {
		if err := x.resolveChild(&x.entries[i], kind, content); err != nil {
			return err
		}
	}
	return nil
}

func (x *indexer) resolveChild(e *entry, kind plumbing.ObjectType, base []byte) error {
	if e.size+x.held > x.limits.Memory {
		return &LimitError{What: "memory for resolving deltas in bytes", Limit: x.limits.Memory}
	}
	delta, err := x.content(e)
	if err != nil {
		return err
	}
	target, err := applyDelta(base, delta)
	if err != nil {
		return err
	}
	hasher := newHasher(kind, int64(len(target)))
	_, _ = hasher.Write(target)
	e.hash, e.actual = plumbing.Hash(hasher.Sum(nil)), kind
	if !x.hasChildren(e) {
		return nil
	}
	return x.descend(e.offset, e.hash, kind, target)
}

// content inflates an object, or the instructions of a delta.
func (x *indexer) content(e *entry) ([]byte, error) {
	if e.size > x.limits.Memory {
		return nil, &LimitError{What: "memory for resolving deltas in bytes", Limit: x.limits.Memory}
	}
	inflated, err := x.reader(newCounting(x.file, e.offset+int64(e.length), e.end))
	if err != nil {
		return nil, unexpected(err)
	}
	content := bytes.NewBuffer(make([]byte, 0, e.size))
	if err := copyExactly(content, inflated, e.size); err != nil {
		return nil, unexpected(err)
	}
	return content.Bytes(), nil
}

// resolveThin takes the bases that a thin pack leaves out from what is stored already, and appends
// them to the pack, as Git does, so that each pack can be read on its own. A base that is not stored
// may be a delta in the pack that waits for another base, hence the rounds.
func (x *indexer) resolveThin() error {
	for len(x.byHash) > 0 {
		err := fmt.Errorf("%w: delta without its base", errMalformed)
		progress := false
		for _, missing := range x.missing() {
			if _, waits := x.byHash[missing]; !waits || x.base == nil {
				continue
			}
			kind, content, baseErr := x.base(missing)
			if baseErr != nil {
				err = fmt.Errorf("finding the base of a delta: %w", baseErr)
				continue
			}
			offset, err := x.append(missing, kind, content)
			if err != nil {
				return err
			}
			if err := x.descend(offset, missing, kind, content); err != nil {
				return err
			}
			progress = true
		}
		if !progress {
			return err
		}
	}
	return nil
}

// missing lists the bases that reference deltas wait for, in the order of the pack.
func (x *indexer) missing() []plumbing.Hash {
	var bases []plumbing.Hash
	for i := range x.entries {
		if e := &x.entries[i]; e.kind == plumbing.REFDeltaObject && e.hash.IsZero() {
			bases = append(bases, e.ref)
		}
	}
	return bases
}

// append adds an object to the end of the pack, over the old trailer.
func (x *indexer) append(hash plumbing.Hash, kind plumbing.ObjectType, content []byte) (int64, error) {
	offset := x.size - trailerSize
	encoded, err := x.encoder.encode(kind, content)
	if err != nil {
		return 0, err
	}
	if _, err := x.file.WriteAt(encoded, offset); err != nil {
		return 0, err
	}
	x.size = offset + int64(len(encoded)) + trailerSize
	x.appended = true
	x.entries = append(x.entries, entry{
		header: header{kind: kind, size: int64(len(content))},
		offset: offset,
		end:    offset + int64(len(encoded)),
		crc:    crc32.ChecksumIEEE(encoded),
		hash:   hash,
		actual: kind,
	})
	return offset, nil
}

// seal writes the object count and the checksum anew where objects were appended, and returns the
// checksum.
func (x *indexer) seal() (plumbing.Hash, error) {
	if !x.appended {
		var trailer plumbing.Hash
		_, err := x.file.ReadAt(trailer[:], x.size-trailerSize)
		return trailer, err
	}
	var count [4]byte
	binary.BigEndian.PutUint32(count[:], uint32(len(x.entries))) //nolint:gosec // bounded by Limits.Objects
	if _, err := x.file.WriteAt(count[:], 8); err != nil {
		return plumbing.ZeroHash, err
	}
	sum, err := x.checksum(x.size - trailerSize)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	_, err = x.file.WriteAt(sum[:], x.size-trailerSize)
	return sum, err
}
