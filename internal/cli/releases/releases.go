package releases

import (
	"context"
	"fmt"

	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/record/history"
)

// Shelf is a unit's releases.
type Shelf struct {
	store *history.Store
	unit  object.Owner
	book  release.Book
}

// Open reads what is known of a unit's releases. They are in the namespace of the controller.
func Open(ctx context.Context, config *rest.Config, namespace string, unit fleet.Resource) (*Shelf, error) {
	cluster, err := kube.Connect("", config, kube.Options{UserAgent: config.UserAgent})
	if err != nil {
		return nil, err
	}
	shelf := &Shelf{
		store: history.New(cluster, namespace, unit.Kind.Kind),
		unit:  object.Owner{Namespace: unit.Object.GetNamespace(), Name: unit.Object.GetName()},
	}
	if shelf.book, err = shelf.store.Book(ctx, shelf.unit); err != nil {
		return nil, err
	}
	return shelf, nil
}

// Book returns the releases, the newest first.
func (s *Shelf) Book() release.Book { return s.book }

// Set returns the objects of a release.
func (s *Shelf) Set(ctx context.Context, number int64) ([]object.Object, error) {
	one, found := s.book.Numbered(number)
	switch {
	case !found:
		return nil, fmt.Errorf("release %d of %s is not kept; `holdfast history %s` lists those that are", number, s.unit, s.unit.Name)
	case !one.Written():
		return nil, fmt.Errorf("release %d of %s was rejected: nothing of it was written, and its objects are not kept", number, s.unit)
	}
	return s.store.Objects(ctx, s.unit, number)
}

// Compare returns how one release differs from another.
func (s *Shelf) Compare(ctx context.Context, from, to int64) (Comparison, error) {
	before, err := s.Set(ctx, from)
	if err != nil {
		return Comparison{}, err
	}
	after, err := s.Set(ctx, to)
	if err != nil {
		return Comparison{}, err
	}
	return Compare(before, after)
}
