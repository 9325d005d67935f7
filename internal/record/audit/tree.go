package audit

import (
	"crypto/sha256"
	"errors"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is the right edge of a Merkle tree, which is all that growing it takes: the hashes of its
// perfect subtrees, the largest first, one for each bit of the size. The zero value is empty.
type tree struct {
	size int64
	edge []tlog.Hash
}

// grow adds a leaf.
func (t *tree) grow(leaf tlog.Hash) {
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.edge) - 1
		leaf = tlog.NodeHash(t.edge[last], leaf)
		t.edge = t.edge[:last]
	}
	t.edge = append(t.edge, leaf)
	t.size++
}

// root is the hash of the whole tree.
func (t *tree) root() tlog.Hash {
	last := len(t.edge) - 1
	if last < 0 {
		return sha256.Sum256(nil)
	}
	hash := t.edge[last]
	for i := last - 1; i >= 0; i-- {
		hash = tlog.NodeHash(t.edge[i], hash)
	}
	return hash
}

func (t *tree) clone() tree { return tree{t.size, slices.Clone(t.edge)} }

// bytes writes the edge for the store.
func (t *tree) bytes() []byte {
	packed := make([]byte, 0, len(t.edge)*tlog.HashSize)
	for _, hash := range t.edge {
		packed = append(packed, hash[:]...)
	}
	return packed
}

var errEdge = errors.New("the edge of the tree does not belong to its size")

// treeOf reads an edge that bytes wrote.
func treeOf(size int64, packed []byte) (tree, error) {
	if size < 0 || len(packed) != bits.OnesCount64(uint64(size))*tlog.HashSize {
		return tree{}, errEdge
	}
	return tree{size, unpack(packed)}, nil
}

// unpack reads hashes that stand one after the other.
func unpack(packed []byte) []tlog.Hash {
	hashes := make([]tlog.Hash, len(packed)/tlog.HashSize)
	for i := range hashes {
		copy(hashes[i][:], packed[i*tlog.HashSize:])
	}
	return hashes
}
