package git

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/stage/source/git/mirror"
	"holdfast.dev/holdfast/internal/stage/source/git/pack"
)

// node is one directory of a repository. It never changes.
type node struct {
	files []leaf
	dirs  []leaf
	links []leaf // commits of submodules
	// symlinks are never listed; they are here so that a copy of the repository is complete.
	symlinks []leaf
}

// leaf is an entry of a directory.
type leaf struct {
	name       string
	hash       plumbing.Hash
	size       int64
	executable bool
	id         string // of files: the hash as entries carry it
}

// maxTree bounds one tree object: some hundred thousand entries.
const maxTree = 32 << 20

// Modes of tree entries. Git's own tools write no others since 2005.
const (
	modeDir        = 0o040000
	modeFile       = 0o100644
	modeGroupFile  = 0o100664 // by early versions of Git
	modeExecutable = 0o100755
	modeSymlink    = 0o120000
	modeLink       = 0o160000
)

// readNode reads a tree object and the sizes of its files; contents are not touched.
func readNode(store *pack.Store, hash plumbing.Hash) (*node, error) {
	kind, content, err := store.Read(hash, maxTree)
	if err != nil {
		return nil, fmt.Errorf("reading tree %s: %w", hash, err)
	}
	if kind != plumbing.TreeObject {
		return nil, fmt.Errorf("reading tree %s: it is a %s", hash, kind)
	}
	n, err := parseTree(content)
	if err != nil {
		return nil, fmt.Errorf("reading tree %s: %w", hash, err)
	}
	for i := range n.files {
		if n.files[i].size, err = store.Size(n.files[i].hash); err != nil {
			return nil, fmt.Errorf("reading tree %s: %w", hash, err)
		}
		n.files[i].id = hashPrefix + n.files[i].hash.String()
	}
	return n, nil
}

func parseTree(content []byte) (*node, error) {
	n := &node{}
	seen := map[string]struct{}{}
	for len(content) > 0 {
		mode, rest, found := bytes.Cut(content, []byte(" "))
		name, rest, terminated := bytes.Cut(rest, []byte{0})
		if !found || !terminated || len(rest) < len(plumbing.Hash{}) {
			return nil, errors.New("malformed entry")
		}
		entry := leaf{name: string(name)}
		content = rest[copy(entry.hash[:], rest):]
		if err := checkComponent(entry.name); err != nil {
			return nil, err
		}
		if _, twice := seen[entry.name]; twice {
			return nil, fmt.Errorf("the name %q is there twice", entry.name)
		}
		seen[entry.name] = struct{}{}
		if err := n.add(entry, string(mode)); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *node) add(entry leaf, mode string) error {
	number, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		return fmt.Errorf("%q has a malformed mode", entry.name)
	}
	switch number {
	case modeDir:
		n.dirs = append(n.dirs, entry)
	case modeFile, modeGroupFile:
		n.files = append(n.files, entry)
	case modeExecutable:
		entry.executable = true
		n.files = append(n.files, entry)
	case modeLink:
		n.links = append(n.links, entry)
	case modeSymlink:
		n.symlinks = append(n.symlinks, entry)
	default:
		return fmt.Errorf("%q has the unknown mode %o", entry.name, number)
	}
	return nil
}

// nodes keeps directories in memory, those used last, so that a new commit costs no more than the
// directories that it changed. It is safe for concurrent use.
type nodes struct {
	limit int64

	mu    sync.Mutex
	cost  int64
	order *list.List // of *kept, most recently used first
	known map[nodeKey]*list.Element
}

// nodeKey has the generation in it: that a tree is complete in one repository says nothing of
// another, and a name that collides must not cross from one tenant to the next.
type nodeKey struct {
	generation mirror.Generation
	hash       plumbing.Hash
}

type kept struct {
	key  nodeKey
	node *node
	cost int64
}

func newNodes(limit int64) *nodes {
	return &nodes{limit: limit, order: list.New(), known: map[nodeKey]*list.Element{}}
}

// get returns a directory, from memory or from the lease's repository.
func (c *nodes) get(held *mirror.Lease, hash plumbing.Hash) (*node, error) {
	key := nodeKey{generation: held.Generation(), hash: hash}
	if found := c.recall(key); found != nil {
		return found, nil
	}
	read, err := readNode(held.Store, hash)
	if err != nil {
		return nil, err
	}
	c.keep(key, read)
	return read, nil
}

func (c *nodes) recall(key nodeKey) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.known[key]
	if element == nil {
		return nil
	}
	c.order.MoveToFront(element)
	return element.Value.(*kept).node
}

func (c *nodes) keep(key nodeKey, read *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[key] != nil {
		return
	}
	added := &kept{key: key, node: read, cost: read.bytes()}
	c.known[key] = c.order.PushFront(added)
	c.cost += added.cost
	for c.cost > c.limit && c.order.Len() > 1 {
		oldest := c.order.Back()
		dropped := c.order.Remove(oldest).(*kept)
		delete(c.known, dropped.key)
		c.cost -= dropped.cost
	}
}

// bytes estimates the memory that a node takes.
func (n *node) bytes() int64 {
	const perNode, perLeaf = 300, 140
	size := int64(perNode)
	for _, leaves := range [][]leaf{n.files, n.dirs, n.links, n.symlinks} {
		for i := range leaves {
			size += perLeaf + int64(len(leaves[i].name))
		}
	}
	return size
}

// walk visits every directory below a tree once, which proves that all of it is there.
func (c *nodes) walk(ctx context.Context, held *mirror.Lease, root plumbing.Hash) error {
	seen := map[plumbing.Hash]struct{}{root: {}}
	for queue := []plumbing.Hash{root}; len(queue) > 0; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		next := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		read, err := c.get(held, next)
		if err != nil {
			return err
		}
		for _, dir := range read.dirs {
			if _, twice := seen[dir.hash]; !twice {
				seen[dir.hash] = struct{}{}
				queue = append(queue, dir.hash)
			}
		}
	}
	return nil
}
