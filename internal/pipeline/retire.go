package pipeline

import (
	"context"
	"fmt"
	"time"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/pipeline/phase"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
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
	// Foreground keeps objects until what they own is gone; Orphan leaves what they own.
	Foreground, Orphan bool
	// Hooks are the wishes about those that run before and after, each for Timeout at most.
	Hooks   Hooks
	Timeout time.Duration
}

// goneTime is when to look again at objects on their way out, should no event tell.
const goneTime = 2 * time.Second

// Retire deletes what a unit owns. Parked means that objects are still on their way out; Done that
// nothing is left to do. Outcome.Pruned names what was deleted in this pass.
func (l *Line) Retire(ctx context.Context, farewell Farewell) Outcome {
	if l.Family != object.HelmReleases {
		return l.retire(ctx, farewell)
	}
	p, err := l.begin(ctx, Job{
		Unit: farewell.Unit, Site: farewell.Site, Inventory: farewell.Inventory, Hooks: farewell.Hooks, Timeout: farewell.Timeout,
	})
	if err != nil {
		return Outcome{Inventory: farewell.Inventory}.fail(err)
	}
	out := Outcome{Inventory: farewell.Inventory}
	latest, _ := p.unit.book.Latest()
	hooks := p.last(ctx)
	if out, state := p.perform(ctx, &latest, hooks, phase.PreDelete, out); state != through {
		return p.unit.mask(out)
	}
	if out = l.retire(ctx, farewell); out.Phase != Done {
		return p.unit.mask(out)
	}
	p.job.Inventory = nil
	done, state := p.perform(ctx, &latest, hooks, phase.PostDelete, out)
	if state != through {
		return p.unit.mask(done)
	}
	return done
}

// last returns the hooks of the release that stands. Without its record nobody knows of any.
func (p *pass) last(ctx context.Context) check.Passed {
	standing, found := p.unit.book.Standing()
	if !found || standing.Verdict == release.Rejected {
		return check.Passed{}
	}
	kept, err := p.objects(ctx, standing.Number)
	if err != nil {
		return check.Passed{}
	}
	return kept.hooks
}

func (l *Line) retire(ctx context.Context, farewell Farewell) Outcome {
	unit := l.units.of(farewell.Unit)
	out := Outcome{Inventory: farewell.Inventory}
	live := liveView{farewell.Site.Observer, l.apply.Manager()}
	if err := farewell.Site.Observer.Claim(observe.Claim{Owner: farewell.Unit, Owned: farewell.Inventory}); err != nil {
		return out.fail(err)
	}
	ours, _ := farewell.Heirs.leave(ctx, farewell.Inventory)
	pruned, err := l.apply.Prune(ctx, apply.PruneRequest{
		Cluster: farewell.Site.Cluster, View: live, Owner: farewell.Unit, Refs: ours, Memory: unit.memory,
		Foreground: farewell.Foreground, Orphan: farewell.Orphan,
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
