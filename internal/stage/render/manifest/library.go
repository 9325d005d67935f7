package manifest

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"sync"
)

// nameSeed makes hashes of names that nobody outside of the process can aim at.
var nameSeed = maphash.MakeSeed() //nolint:gochecknoglobals // one for the process, and never changed

// HashName identifies a name within this process.
func HashName(name string) uint64 { return maphash.String(nameSeed, name) }

// HashBytes identifies content.
func HashBytes(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Library keeps Facts by the hash of the file, the least recently used of them up to a bound. It is
// safe for concurrent use.
type Library struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	byHash map[string]*list.Element
	recent *list.List // of shelf, most recent first
}

type shelf struct {
	hash  string
	facts *Facts
}

// NewLibrary returns a Library that takes about limit bytes of memory.
func NewLibrary(limit int64) *Library {
	return &Library{limit: limit, byHash: map[string]*list.Element{}, recent: list.New()}
}

// Get returns what is known of a file.
func (l *Library) Get(hash string) (*Facts, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	element, found := l.byHash[hash]
	if !found {
		return nil, false
	}
	l.recent.MoveToFront(element)
	return element.Value.(shelf).facts, true //nolint:forcetypeassert // the list holds nothing else
}

// Put adds what was learned of a file.
func (l *Library) Put(hash string, known *Facts) {
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
