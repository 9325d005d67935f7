package kustomize

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"

	"sigs.k8s.io/kustomize/api/resource"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// facts are what is worth knowing of a file of resources. They depend on nothing but its content.
type facts struct {
	objects []objectFact
	// mentions are the hashes of all short strings in the file, sorted: whatever the file refers to
	// by name is among them.
	mentions []uint64
	err      error
}

// objectFact is the identity of an object as its file has it.
type objectFact struct {
	group, version, kind string
	namespace, name      string
	clusterScoped        bool
}

// longestName is the length of the longest string that can be the name of an object.
const longestName = 253

// factBytes is a guess at the memory of the facts of one file without objects and mentions.
const factBytes = 256

func (f *facts) bytes() int64 { return int64(factBytes + len(f.objects)*128 + len(f.mentions)*8) }

func (f *facts) mentionsAny(names map[uint64]bool) bool {
	return slices.ContainsFunc(f.mentions, func(mention uint64) bool { return names[mention] })
}

// factsOf parses a file as kustomize does and notes what it holds.
func factsOf(data []byte, limits Limits) *facts {
	if err := boundAliases(data, limits); err != nil {
		return &facts{err: err}
	}
	docs, err := parsedDocs(data)
	if err != nil {
		return &facts{err: fmt.Errorf("decoding Kubernetes objects: %w", err)}
	}
	found := &facts{objects: make([]objectFact, len(docs))}
	mentions := map[uint64]bool{}
	for i, doc := range docs {
		found.objects[i] = factOf(doc)
		if err := noteMentions(doc.YNode(), mentions, limits.Depth); err != nil {
			return &facts{err: err}
		}
	}
	for mention := range mentions {
		found.mentions = append(found.mentions, mention)
	}
	slices.Sort(found.mentions)
	return found
}

func factOf(doc *resource.Resource) objectFact {
	id := doc.CurId()
	return objectFact{
		group: id.Group, version: id.Version, kind: id.Kind,
		namespace: id.Namespace, name: id.Name, clusterScoped: id.IsClusterScoped(),
	}
}

func noteMentions(node *kyaml.Node, into map[uint64]bool, depth int) error {
	if depth < 0 {
		return errTooDeep
	}
	if node.Kind == kyaml.ScalarNode && node.Value != "" && len(node.Value) <= longestName {
		into[hashName(node.Value)] = true
	}
	for _, child := range node.Content {
		if err := noteMentions(child, into, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// nameSeed makes hashes of names that nobody outside of the process can aim at.
var nameSeed = maphash.MakeSeed()

func hashName(name string) uint64 { return maphash.String(nameSeed, name) }

func hashBytes(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// library keeps facts by the hash of the file, the least recently used of them up to a bound. It is
// safe for concurrent use.
type library struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	byHash map[string]*list.Element
	recent *list.List // of shelf, most recent first
}

type shelf struct {
	hash  string
	facts *facts
}

func newLibrary(limit int64) *library {
	return &library{limit: limit, byHash: map[string]*list.Element{}, recent: list.New()}
}

func (l *library) get(hash string) (*facts, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	element, found := l.byHash[hash]
	if !found {
		return nil, false
	}
	l.recent.MoveToFront(element)
	return element.Value.(shelf).facts, true //nolint:forcetypeassert // the list holds nothing else
}

func (l *library) put(hash string, known *facts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, found := l.byHash[hash]; found {
		return
	}
	l.byHash[hash] = l.recent.PushFront(shelf{hash, known})
	l.used += known.bytes()
	for l.used > l.limit && l.recent.Len() > 1 {
		last := l.recent.Remove(l.recent.Back()).(shelf) //nolint:forcetypeassert // see get
		delete(l.byHash, last.hash)
		l.used -= last.facts.bytes()
	}
}
