package helm

import (
	"container/list"
	"sync"

	"holdfast.dev/holdfast/internal/stage/source/helm/index"
)

// Library keeps indexes by the digest of their artifact, up to a size. It is safe for concurrent use.
type Library struct {
	mu    sync.Mutex
	limit int64
	used  int64
	kept  map[string]*list.Element
	order list.List // of shelved, most recently used first
}

type shelved struct {
	digest string
	index  *index.Index
}

const defaultLibrary = 64 << 20

// NewLibrary returns an empty Library; 0 bytes mean 64 MiB.
func NewLibrary(bytes int64) *Library {
	if bytes <= 0 {
		bytes = defaultLibrary
	}
	return &Library{limit: bytes, kept: map[string]*list.Element{}}
}

// Get returns the index of an artifact; load, which nobody else waits for, makes it where it is not kept.
func (l *Library) Get(digest string, load func() (*index.Index, error)) (*index.Index, error) {
	l.mu.Lock()
	element, found := l.kept[digest]
	if found {
		l.order.MoveToFront(element)
	}
	l.mu.Unlock()
	if found {
		return element.Value.(shelved).index, nil //nolint:forcetypeassert // the list holds nothing else
	}
	read, err := load()
	if err != nil {
		return nil, err
	}
	l.Put(digest, read)
	return read, nil
}

// Put keeps an index.
func (l *Library) Put(digest string, read *index.Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, found := l.kept[digest]; found || read.Bytes() > l.limit {
		return
	}
	l.kept[digest] = l.order.PushFront(shelved{digest, read})
	l.used += read.Bytes()
	for l.used > l.limit {
		oldest := l.order.Back()
		dropped := l.order.Remove(oldest).(shelved) //nolint:forcetypeassert // see Get
		delete(l.kept, dropped.digest)
		l.used -= dropped.index.Bytes()
	}
}
