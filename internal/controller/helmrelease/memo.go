package helmrelease

import (
	"sync"
	"time"

	"holdfast.dev/holdfast/internal/helm"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
)

// memo is what the controller remembers of a unit's releases between visits. Losing it costs a few reads.
type memo struct {
	book    helm.Book
	latest  release.Release // as of the last visit; its number is 0 before the first
	counted int64           // the release whose failure was counted last
	retryAt time.Time       // when the unit's settings ask for another try
	failing int64           // the generation that latest failed for
	person  string          // the token of the last request of a person that was seen
}

type memos struct {
	lock sync.Mutex
	all  map[object.Owner]*memo
}

func (m *memos) of(owner object.Owner) *memo {
	m.lock.Lock()
	defer m.lock.Unlock()
	one, found := m.all[owner]
	if !found {
		one = &memo{}
		if m.all == nil {
			m.all = map[object.Owner]*memo{}
		}
		m.all[owner] = one
	}
	return one
}

func (m *memos) forget(owner object.Owner) {
	m.lock.Lock()
	defer m.lock.Unlock()
	delete(m.all, owner)
}
