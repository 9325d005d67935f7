package apply

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
)

// settleTime is how long to wait before looking again at something that the server needs a moment
// for: a new kind to be served, a deleted object to be gone.
const settleTime = 200 * time.Millisecond

// write sends the work of a stage, rank by rank. Within a rank all objects are tried even when some
// fail; the next rank is not begun then.
func (r *run) write(ctx context.Context, plans []plan) error {
	working := func(p *plan) bool { return p.work }
	if !slices.ContainsFunc(plans, func(p plan) bool { return p.work }) {
		return nil
	}
	if err := r.intend(ctx); err != nil {
		return err
	}
	for from := 0; from < len(plans); {
		to := from + 1
		for to < len(plans) && object.Rank(plans[to].wanted.Ref) == object.Rank(plans[from].wanted.Ref) {
			to++
		}
		if err := each(plans[from:to], working, func(p *plan) error { return r.send(ctx, p) }); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// intend announces, before the first write, what is about to exist.
func (r *run) intend(ctx context.Context) error {
	if r.intended || r.Intend == nil {
		return nil
	}
	wanted := make([]object.Ref, 0, len(r.Set.Objects()))
	for _, one := range r.Set.Objects() {
		wanted = append(wanted, one.Ref)
	}
	if err := r.Intend(ctx, wanted); err != nil {
		return fmt.Errorf("announcing the first write: %w", err)
	}
	r.intended = true
	return nil
}

// send writes one object, and remembers what was written.
func (r *run) send(ctx context.Context, p *plan) error {
	p.begun = true
	if p.recreate {
		if err := r.clear(ctx, p); err != nil {
			return err
		}
	}
	if p.managers {
		if err := r.takeOver(ctx, p); err != nil {
			return err
		}
	}
	answer, err := r.Cluster.Apply(ctx, p.wanted.Ref, p.body, kube.ApplyOptions{Manager: r.options.Manager})
	if err != nil {
		return r.refusal(p.wanted.Ref, "apply failed", err)
	}
	p.action = object.Configured
	switch {
	case answer.Created:
		p.action = object.Created
	case p.exists && !p.managers && p.version == answer.Object.GetResourceVersion():
		p.action = object.Unchanged
	}
	r.View.Saw(answer.Object)
	if p.wanted.Kind == "CustomResourceDefinition" && p.action != object.Unchanged {
		r.Cluster.Forget()
	}
	p.work = false
	return nil
}

// remember records what the set's objects look like when they are settled. One that was not begun is
// still what it was. Memory is a plain map, so it is filled when no step is under way any more.
func (r *run) remember(plans []plan) {
	for i := range plans {
		p := &plans[i]
		switch p.action {
		case object.Created, object.Configured, object.Unchanged:
			r.Memory[p.wanted.Key()] = p.wanted.Digest
		case object.Skipped, object.Deleted:
			delete(r.Memory, p.wanted.Key())
		default:
			if p.begun {
				delete(r.Memory, p.wanted.Key())
			}
		}
	}
}

// clear deletes an object whose immutable fields change, so that it can be created anew. Where
// finalizers hold it, the unit waits for its end without holding a worker.
func (r *run) clear(ctx context.Context, p *plan) error {
	err := r.Cluster.Delete(ctx, p.wanted.Ref, kube.DeleteOptions{UID: p.live.UID})
	if err != nil && !apierrors.IsNotFound(err) {
		return r.refusal(p.wanted.Ref, "delete before recreating failed", err)
	}
	_, err = r.Cluster.Get(ctx, p.wanted.Ref)
	if err == nil {
		return fault.Wait("Progressing", settleTime, fmt.Errorf("%s is being deleted to change an immutable field", p.wanted.Ref))
	}
	if !apierrors.IsNotFound(err) {
		return r.refusal(p.wanted.Ref, "read failed", err)
	}
	return nil
}
