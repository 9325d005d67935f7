package kustomize

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// facts are what is worth knowing of a file of resources. They depend on nothing but its content.
type facts struct {
	docs []docFact
	err  error
	// operations are set where the file is a JSON 6902 patch, and so err is, too.
	operations *operations
	// kust is set where the file was read as a kustomization instead. It must not be modified.
	kust  *types.Kustomization
	large int // of kust
}

// docFact is a part of a file that can be built without the rest: a document, or the whole file
// where its documents belong together.
type docFact struct {
	hash    string
	objects []objectFact
	// mentions are the hashes of all short strings in the document, sorted: whatever it refers to
	// by name is among them.
	mentions []uint64
}

// objectFact is the identity of an object as its file has it.
type objectFact struct {
	group, version, kind string
	namespace, name      string
	clusterScoped        bool
}

// longestName is the length of the longest string that can be the name of an object.
const longestName = 253

// factBytes is a guess at the memory of the facts of one document without objects and mentions.
const factBytes = 256

func (f *facts) bytes() int64 {
	total := factBytes + f.large
	for _, doc := range f.docs {
		total += factBytes + len(doc.objects)*128 + len(doc.mentions)*8
	}
	return int64(total)
}

// factsOf parses a file as kustomize does and notes what it holds.
func factsOf(data []byte, limits Limits) *facts {
	if err := boundAliases(data, limits); err != nil {
		return &facts{err: err}
	}
	texts, err := splitDocuments(data)
	if err != nil {
		return &facts{err: err}
	}
	found := &facts{}
	for _, text := range texts {
		doc, err := docFactOf([]byte(text), limits)
		if err != nil {
			return &facts{err: err, operations: operationsOf(data, limits)}
		}
		if len(texts) > 1 && (len(doc.objects) > 1 || isList(text)) {
			return wholeFacts(data, limits)
		}
		found.docs = append(found.docs, doc)
	}
	return found
}

// wholeFacts takes a file as one document. Kustomize expands a list in another way where it is alone
// in its file, so that a file of several documents with a list among them cannot be taken apart.
func wholeFacts(data []byte, limits Limits) *facts {
	doc, err := docFactOf(data, limits)
	return &facts{docs: []docFact{doc}, err: err}
}

func docFactOf(text []byte, limits Limits) (docFact, error) {
	parsed, err := parsedDocs(text)
	if err != nil {
		return docFact{}, fmt.Errorf("decoding Kubernetes objects: %s", strings.TrimSpace(err.Error()))
	}
	doc := docFact{hash: hashBytes(text), objects: make([]objectFact, len(parsed))}
	mentions := map[uint64]bool{}
	for i, one := range parsed {
		doc.objects[i] = factOf(one)
		if err := noteMentions(one.YNode(), mentions, limits.Depth); err != nil {
			return docFact{}, err
		}
	}
	doc.mentions = slices.Sorted(maps.Keys(mentions))
	return doc, nil
}

// isList tells whether a document has a kind that kustomize looks for items in.
func isList(text string) bool {
	if !strings.Contains(text, "List") {
		return false
	}
	var document kyaml.Node
	if err := kyaml.NewDecoder(strings.NewReader(text)).Decode(&document); err != nil || len(document.Content) == 0 {
		return true
	}
	fields := document.Content[0].Content
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i].Value == "kind" {
			return fields[i+1].Kind != kyaml.ScalarNode || strings.HasSuffix(fields[i+1].Value, "List")
		}
	}
	return false
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
