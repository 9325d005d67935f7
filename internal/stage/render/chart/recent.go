package chart

import (
	"container/list"
	"sync"
)

// recent keeps values up to a size, and forgets what was not used for longest.
type recent[K comparable, V any] struct {
	mu    sync.Mutex
	limit int64
	used  int64
	byKey map[K]*list.Element
	order *list.List // of held, most recent first
}

type held[K comparable, V any] struct {
	key   K
	value V
	size  int64
}

func newRecent[K comparable, V any](limit int64) *recent[K, V] {
	return &recent[K, V]{limit: limit, byKey: map[K]*list.Element{}, order: list.New()}
}

func (r *recent[K, V]) get(key K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	element, found := r.byKey[key]
	if !found {
		var none V
		return none, false
	}
	r.order.MoveToFront(element)
	return element.Value.(held[K, V]).value, true //nolint:forcetypeassert // the list holds nothing else
}

func (r *recent[K, V]) put(key K, value V, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(key)
	if size > r.limit {
		return
	}
	r.byKey[key] = r.order.PushFront(held[K, V]{key, value, size})
	r.used += size
	for r.used > r.limit {
		r.drop(r.order.Back().Value.(held[K, V]).key) //nolint:forcetypeassert // see get
	}
}

func (r *recent[K, V]) forget(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(key)
}

func (r *recent[K, V]) drop(key K) {
	element, found := r.byKey[key]
	if !found {
		return
	}
	r.used -= r.order.Remove(element).(held[K, V]).size //nolint:forcetypeassert // see get
	delete(r.byKey, key)
}
