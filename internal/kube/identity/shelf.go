package identity

import (
	"context"
	"sync"
	"time"
)

// shelf keeps what is valid for a while. Each thing is made by one caller at a time, the others wait for it.
type shelf[T any] struct {
	now  func() time.Time
	lock sync.Mutex
	all  map[string]*slot[T]
}

type slot[T any] struct {
	turn  chan struct{} // holds one value while somebody makes a new one
	lock  sync.Mutex
	value T
	until time.Time
}

// get returns what is kept under a key, or makes it. What is made is kept for four fifths of the time that
// it is said to be valid.
func (s *shelf[T]) get(ctx context.Context, key string, fresh func(context.Context) (T, time.Duration, error)) (T, error) {
	var none T
	place := s.place(key)
	if value, valid := place.known(s.now()); valid {
		return value, nil
	}
	select {
	case place.turn <- struct{}{}:
		defer func() { <-place.turn }()
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	if value, valid := place.known(s.now()); valid { // somebody else has made it meanwhile
		return value, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := s.now() // what is made may be valid from its making, not from its arrival
	value, life, err := fresh(ctx)
	if err != nil {
		return none, err
	}
	place.lock.Lock()
	defer place.lock.Unlock()
	place.value, place.until = value, began.Add(min(life*4/5, longest))
	return value, nil
}

// place returns the slot of a key, and makes room where there is none.
func (s *shelf[T]) place(key string) *slot[T] {
	s.lock.Lock()
	defer s.lock.Unlock()
	if found := s.all[key]; found != nil {
		return found
	}
	if len(s.all) >= mostKept {
		now := s.now()
		for other, one := range s.all {
			if _, valid := one.known(now); !valid {
				delete(s.all, other)
			}
		}
	}
	if s.all == nil || len(s.all) >= mostKept {
		s.all = map[string]*slot[T]{}
	}
	made := &slot[T]{turn: make(chan struct{}, 1)}
	s.all[key] = made
	return made
}

func (s *slot[T]) known(now time.Time) (T, bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if !now.Before(s.until) {
		var none T
		return none, false
	}
	return s.value, true
}
