package kustomization

import (
	"context"
	"fmt"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/pipeline"
)

// finalize deletes what the unit owns, as its deletion policy says, and lets it go. What cannot be
// deleted for want of the rights to do so is named in an event and left, so that the unit does not
// hang for ever (flux-contract 8.6).
func (v *visit) finalize(ctx context.Context) (ctrl.Result, error) {
	if !slices.Contains(v.unit.Finalizers, kustomizev1.KustomizationFinalizer) {
		return ctrl.Result{}, nil
	}
	inventory := inventoryOf(&v.status)
	if !deletes(v.unit) || len(inventory) == 0 {
		return ctrl.Result{}, v.letGo(ctx)
	}
	site, err := v.sites.Site(ctx, reachOf(v.unit))
	if err == nil {
		err = v.sites.MayAct(ctx, reachOf(v.unit))
	}
	if err != nil {
		if fault.KindOf(err) == fault.Transient {
			return ctrl.Result{}, err
		}
		v.tell(corev1.EventTypeWarning, fmt.Sprintf("unable to prune objects: %s\n%s", err, names(inventory)))
		return ctrl.Result{}, v.letGo(ctx)
	}
	await := v.unit.GetDeletionPolicy() == kustomizev1.DeletionPolicyWaitForTermination
	out := v.Line.Retire(ctx, pipeline.Farewell{
		Unit: ownerOf(v.unit), Site: site, Inventory: inventory, Await: await, Heirs: v.lastHeirs(ctx),
	})
	if made := out.Pruned.Made(); len(made) > 0 && out.Phase != pipeline.Failed && v.note.Failures == 0 {
		v.tell(corev1.EventTypeNormal, made.String())
		v.note.Failures++ // tell it once
	}
	switch {
	case out.Phase == pipeline.Failed:
		v.tell(corev1.EventTypeWarning, "pruning for deleted resource failed: "+out.Err.Error())
		return ctrl.Result{}, out.Err
	case out.Phase == pipeline.Parked:
		waited := v.now().Sub(v.unit.DeletionTimestamp.Time)
		if waited < v.unit.GetTimeout() {
			return ctrl.Result{RequeueAfter: min(out.After, v.unit.GetTimeout()-waited)}, nil
		}
		v.tell(corev1.EventTypeWarning, "gave up waiting for resources termination: "+out.Message)
	}
	return ctrl.Result{}, v.letGo(ctx)
}

// lastHeirs is heirs for a unit that is deleted. Without files nobody wants anything.
func (v *visit) lastHeirs(ctx context.Context) pipeline.Heirs {
	artifact, err := v.artifact(ctx, v.unit)
	if err != nil {
		return nil
	}
	files, err := v.Trees.Open(ctx, artifact)
	if err != nil {
		return nil
	}
	return v.heirs(files)
}

// deletes tells whether deleting the unit deletes its objects. A suspended unit never does.
func deletes(u *kustomizev1.Kustomization) bool {
	if u.Spec.Suspend {
		return false
	}
	switch u.GetDeletionPolicy() {
	case kustomizev1.DeletionPolicyMirrorPrune:
		return u.Spec.Prune
	case kustomizev1.DeletionPolicyDelete, kustomizev1.DeletionPolicyWaitForTermination:
		return true
	default:
		return false
	}
}

// letGo takes our finalizer away and forgets the unit.
func (v *visit) letGo(ctx context.Context) error {
	left := slices.DeleteFunc(slices.Clone(v.unit.Finalizers), func(name string) bool {
		return name == kustomizev1.KustomizationFinalizer
	})
	if err := v.setFinalizers(ctx, left); err != nil {
		return err
	}
	if err := v.Line.Bury(ctx, ownerOf(v.unit)); err != nil {
		v.tell(corev1.EventTypeWarning, err.Error()) // the unit must not hang for its history's sake
	}
	v.forget(ctrl.Request{NamespacedName: nameOf(v.unit)}.NamespacedName)
	return nil
}
