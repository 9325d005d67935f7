package fleet

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Change is what Follow tells of: a resource as it is now, or as it was when it went away.
type Change struct {
	Resource Resource
	Deleted  bool
}

// errStop ends a follow from inside.
var errStop = errors.New("stop")

// Follow calls visit with each selected resource as it is, then with every change, until visit
// returns true or an error, or ctx ends. Visits never overlap. Watches that break are taken up again
// without losing a change that lasts.
func (c *Cluster) Follow(ctx context.Context, kinds []Kind, selection Selection, visit func(Change) (done bool, err error)) error {
	served, err := c.Served(kinds)
	if err != nil {
		return err
	}
	var turn sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	for _, kind := range served {
		list, err := c.emptyList(kind)
		if err != nil {
			return err
		}
		visitOne := func(u *unstructured.Unstructured, deleted bool) error {
			if !selection.has(u.GetName()) {
				return nil
			}
			turn.Lock()
			defer turn.Unlock()
			if err := groupCtx.Err(); err != nil {
				return err
			}
			done, err := visit(Change{Resource: NewResource(kind, u), Deleted: deleted})
			if err == nil && done {
				return errStop
			}
			return err
		}
		follower := newFollower(c.client, list, *selection.options(), visitOne)
		group.Go(func() error { return follower.run(groupCtx) })
	}
	if err := group.Wait(); !errors.Is(err, errStop) {
		return err
	}
	return nil
}
