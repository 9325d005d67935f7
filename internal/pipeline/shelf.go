package pipeline

import (
	"context"
	"fmt"
	"sync"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
)

// Shelf keeps the releases of units, and what they consist of, where a restart finds them. What Add
// and Change were given is durable when they return. It is safe for concurrent use by different units.
type Shelf interface {
	// Book returns a unit's releases. It costs nothing but for the first call of all.
	Book(ctx context.Context, unit object.Owner) (release.Book, error)
	// Add keeps a new release and its objects; none for one that was rejected.
	Add(ctx context.Context, unit object.Owner, one release.Release, objects []object.Object) error
	// Change keeps what is known of a release by now.
	Change(ctx context.Context, unit object.Owner, one release.Release) error
	// Objects returns what a release consists of.
	Objects(ctx context.Context, unit object.Owner, number int64) ([]object.Object, error)
	// Drop forgets a unit that is gone.
	Drop(ctx context.Context, unit object.Owner) error
}

// forgetful is a shelf in memory, for lines that nobody gave another: it does not outlive them.
type forgetful struct {
	lock    sync.Mutex
	books   map[object.Owner]release.Book
	objects map[object.Owner]map[int64][]object.Object
}

func newForgetful() *forgetful {
	return &forgetful{books: map[object.Owner]release.Book{}, objects: map[object.Owner]map[int64][]object.Object{}}
}

// Book implements Shelf.
func (f *forgetful) Book(_ context.Context, unit object.Owner) (release.Book, error) {
	f.lock.Lock()
	defer f.lock.Unlock()
	return f.books[unit], nil
}

// Add implements Shelf.
func (f *forgetful) Add(_ context.Context, unit object.Owner, one release.Release, objects []object.Object) error {
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.objects[unit] == nil {
		f.objects[unit] = map[int64][]object.Object{}
	}
	f.objects[unit][one.Number] = objects
	kept, cut := f.books[unit].With(one).Cut()
	for _, old := range cut {
		delete(f.objects[unit], old.Number)
	}
	f.books[unit] = kept
	return nil
}

// Change implements Shelf.
func (f *forgetful) Change(_ context.Context, unit object.Owner, one release.Release) error {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.books[unit] = f.books[unit].With(one)
	return nil
}

// Objects implements Shelf.
func (f *forgetful) Objects(_ context.Context, unit object.Owner, number int64) ([]object.Object, error) {
	f.lock.Lock()
	defer f.lock.Unlock()
	objects, found := f.objects[unit][number]
	if !found {
		return nil, fmt.Errorf("release %d of %s is not kept any more", number, unit)
	}
	return objects, nil
}

// Drop implements Shelf.
func (f *forgetful) Drop(_ context.Context, unit object.Owner) error {
	f.lock.Lock()
	defer f.lock.Unlock()
	delete(f.books, unit)
	delete(f.objects, unit)
	return nil
}
