package apply

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
)

// PruneRequest asks for objects to be deleted.
type PruneRequest struct {
	Cluster *kube.Cluster
	View    view
	Owner   object.Owner // only objects that carry these owner labels are deleted
	Refs    []object.Ref
	Memory  Memory
	// Foreground keeps objects until what they own is gone; Orphan leaves what they own.
	Foreground, Orphan bool
}

// Pruned is what was done.
type Pruned struct {
	// Changes names the objects that were deleted, and those that their rules or owner protect.
	Changes object.Changes
	// Survivors are objects whose deletion was not confirmed; the inventory must keep them.
	Survivors []object.Ref
}

// Prune deletes objects in the reverse order of writing. An object that is gone already counts as
// deleted; one that belongs to somebody else by now, or that forbids it, is left alone and counts
// as settled (flux-contract 2.5, 8.7). The result is complete even if err is not nil.
func (a *Applier) Prune(ctx context.Context, request PruneRequest) (Pruned, error) {
	refs := slices.Clone(request.Refs)
	slices.SortFunc(refs, func(x, y object.Ref) int { return object.CompareApply(y, x) })
	plans := make([]plan, len(refs))
	for i, ref := range refs {
		plans[i] = plan{wanted: object.Object{Ref: ref}, work: true}
	}
	r := &run{Applier: a, Request: Request{Cluster: request.Cluster, View: request.View}, manner: kube.DeleteOptions{Foreground: request.Foreground, Orphan: request.Orphan}}
	var failures []error
	for from := 0; from < len(plans); {
		to := from + 1
		for to < len(plans) && object.Rank(refs[to]) == object.Rank(refs[from]) {
			to++
		}
		err := each(plans[from:to], func(*plan) bool { return true }, func(p *plan) error { return r.remove(ctx, p, request.Owner) })
		failures = append(failures, err)
		from = to
	}
	var pruned Pruned
	for _, p := range plans {
		if p.action == "" {
			pruned.Survivors = append(pruned.Survivors, p.wanted.Ref)
			continue
		}
		delete(request.Memory, p.wanted.Key())
		pruned.Changes = append(pruned.Changes, object.Change{Ref: p.wanted.Ref, Action: p.action})
	}
	return pruned, fault.Because("PruneFailed", joined(failures))
}

// remove deletes one object if it is ours to delete.
func (r *run) remove(ctx context.Context, p *plan, owner object.Owner) error {
	live := r.View.Live(p.wanted.Ref)
	if !live.Known || !live.Exists {
		var err error
		if live, err = r.look(ctx, p.wanted.Ref); err != nil {
			return err
		}
	}
	switch {
	case !live.Exists:
		p.action = object.Deleted
		return nil
	case live.Owner != owner, live.Rules.PruneDisabled, live.Rules.Skipped():
		p.action = object.Skipped
		return nil
	}
	err := r.Cluster.Delete(ctx, p.wanted.Ref, r.deletes(live.UID))
	if apierrors.IsConflict(err) {
		// Somebody deleted and recreated it since we looked: look again before judging the new one.
		if live, err = r.look(ctx, p.wanted.Ref); err == nil && live.Exists && live.Owner == owner {
			err = r.Cluster.Delete(ctx, p.wanted.Ref, r.deletes(live.UID))
		}
	}
	if err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
		return r.refusal(p.wanted.Ref, "delete failed", err)
	}
	r.View.Removed(p.wanted.Ref, live.UID)
	p.action = object.Deleted
	return nil
}

// look asks the server for what the view does not know.
func (r *run) look(ctx context.Context, ref object.Ref) (Live, error) {
	u, err := r.Cluster.Get(ctx, ref)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return Live{Known: true}, nil
	}
	if err != nil {
		return Live{}, r.refusal(ref, "read failed", err)
	}
	owner, _ := r.options.Family.OwnerOf(u.GetLabels())
	return Live{Known: true, Exists: true, UID: u.GetUID(), Owner: owner, Rules: r.options.Family.RulesOf(u)}, nil
}

// deletes returns how an object is deleted.
func (r *run) deletes(uid types.UID) kube.DeleteOptions {
	options := r.manner
	options.UID = uid
	return options
}
