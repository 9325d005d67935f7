package render

import (
	"container/list"
	"sync"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/render/confine"
	"holdfast.dev/holdfast/internal/stage/render/kustomize"
)

// outcome is what a unit rendered last. It is immutable once it is remembered.
type outcome struct {
	wishes string // digest of the input without the tree
	keys   string // what was decrypted with; "" is nothing
	trace  *confine.Trace
	// fresh is returned by the render that made it, output by all that find it.
	fresh, output Output
	err           error

	// The rest is what the next render of the unit goes on from, when something did change.
	built    *kustomize.Progress
	polish   string // what finishing depends on beyond the built resource
	finished map[*kustomize.Built]finished
	// revealed are the values that builds decrypted, with those of the builds that built goes on from.
	revealed []redact.Text
}

// finished is what became of a built resource.
type finished struct {
	objects  []object.Object
	revealed []redact.Text
}

// progress returns what a build can go on from; known may be nil. What other keys opened is no part of it:
// a key that is taken away takes what it opened along.
func (o *outcome) progress(keys string) *kustomize.Progress {
	if o == nil || o.keys != keys {
		return nil
	}
	return o.built
}

// inherit keeps the progress of an earlier render where a failed one made none.
func (o *outcome) inherit(known *outcome) {
	if known == nil || known.keys != o.keys {
		return
	}
	if o.built == nil {
		o.built = known.built
	}
	if o.finished == nil {
		o.polish, o.finished = known.polish, known.finished
	}
}

// perObject is a guess at the memory of an object besides its text.
const perObject = 1 << 10

func (o *outcome) bytes() int64 {
	total := int64(perObject)
	for _, wanted := range o.output.Objects {
		total += perObject + int64(len(wanted.JSON))
	}
	for _, value := range o.revealed {
		total += int64(len(value))
	}
	return total + o.built.Bytes()
}

// memory keeps the last outcome of each unit, the least recently used of them up to a bound.
type memory struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	units  map[object.Owner]*list.Element
	recent *list.List // of remembered, most recent first
}

type remembered struct {
	owner   object.Owner
	outcome *outcome
	bytes   int64
}

func newMemory(limit int64) *memory {
	return &memory{limit: limit, units: map[object.Owner]*list.Element{}, recent: list.New()}
}

func (m *memory) recall(owner object.Owner) *outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	element, found := m.units[owner]
	if !found {
		return nil
	}
	m.recent.MoveToFront(element)
	return element.Value.(remembered).outcome //nolint:forcetypeassert // the list holds nothing else
}

func (m *memory) remember(owner object.Owner, last *outcome) {
	size := last.bytes()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(owner)
	if size > m.limit {
		return
	}
	m.units[owner] = m.recent.PushFront(remembered{owner, last, size})
	m.used += size
	for m.used > m.limit {
		m.drop(m.recent.Back().Value.(remembered).owner) //nolint:forcetypeassert // see recall
	}
}

func (m *memory) forget(owner object.Owner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(owner)
}

func (m *memory) drop(owner object.Owner) {
	element, found := m.units[owner]
	if !found {
		return
	}
	m.used -= m.recent.Remove(element).(remembered).bytes //nolint:forcetypeassert // see recall
	delete(m.units, owner)
}
