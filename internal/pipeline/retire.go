package pipeline

import (
	"context"
	"fmt"
	"time"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// Farewell asks for everything that a unit owns to be deleted, because the unit itself is.
type Farewell struct {
	Unit      object.Owner
	Site      Site
	Inventory []object.Ref
	// Await asks to stay until the objects are really gone.
	Await bool
	// Heirs tells which of the objects others want; those are left to them.
	Heirs Heirs
}

// goneTime is when to look again at objects on their way out, should no event tell.
const goneTime = 2 * time.Second

// Retire deletes what a unit owns. Parked means that objects are still on their way out; Done that
// nothing is left to do. Outcome.Pruned names what was deleted in this pass.
func (l *Line) Retire(ctx context.Context, farewell Farewell) Outcome {
	unit := l.units.of(farewell.Unit)
	out := Outcome{Inventory: farewell.Inventory}
	live := liveView{farewell.Site.Observer, l.apply.Manager()}
	if err := farewell.Site.Observer.Claim(observe.Claim{Owner: farewell.Unit, Owned: farewell.Inventory}); err != nil {
		return out.fail(err)
	}
	ours, _ := farewell.Heirs.leave(ctx, farewell.Inventory)
	pruned, err := l.apply.Prune(ctx, apply.PruneRequest{
		Cluster: farewell.Site.Cluster, View: live, Owner: farewell.Unit, Refs: ours, Memory: unit.memory,
	})
	out.Pruned = pruned.Changes
	out.Inventory = pruned.Survivors
	if err != nil {
		return out.fail(err)
	}
	if !farewell.Await {
		return out
	}
	var left []object.Ref
	for _, change := range pruned.Changes {
		if change.Action == object.Deleted && live.Live(change.Ref).Exists {
			left = append(left, change.Ref)
		}
	}
	if len(left) > 0 {
		out.Inventory = left
		return out.park(fmt.Sprintf("waiting for %s to be gone", list(left)), goneTime)
	}
	return out
}
