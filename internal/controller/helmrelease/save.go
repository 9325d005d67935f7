package helmrelease

import (
	"context"
	"slices"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/model/object"
)

// Manager is the field manager of Helm's objects, and of the status and finalizers of HelmReleases
// (flux-contract 8.1).
const Manager = "helm-controller"

// save writes the status if the visit changed it: one request, or none.
func (v *visit) save(ctx context.Context) error {
	if apiequality.Semantic.DeepEqual(v.status, v.unit.Status) {
		return nil
	}
	written, err := delivery.SaveStatus(ctx, v.Client, v.unit, &v.unit.Status, &v.status, Manager)
	if err != nil {
		return err
	}
	v.unit, v.note.Written = written, written
	return nil
}

// intend saves an inventory before the objects that are new in it come to exist, so that a crash orphans
// nothing, and shows that work is under way.
func (v *visit) intend(ctx context.Context, inventory []object.Ref) error {
	intended := inventoryTo(inventory)
	if v.status.Inventory != nil && slices.Equal(v.status.Inventory.Entries, intended.Entries) && v.stands() {
		return nil
	}
	v.status.Inventory = intended
	if v.helm != nil {
		v.remember()
	}
	v.progressing("")
	return v.save(ctx)
}

func (v *visit) setFinalizers(ctx context.Context, finalizers []string) error {
	written, err := delivery.SetFinalizers(ctx, v.Client, v.unit, finalizers, Manager)
	if err != nil {
		return err
	}
	v.unit, v.note.Written = written, written
	return nil
}

// letGo takes our finalizer away and forgets the unit.
func (v *visit) letGo(ctx context.Context) error {
	left := slices.DeleteFunc(slices.Clone(v.unit.Finalizers), func(name string) bool { return name == helmv2.HelmReleaseFinalizer })
	if err := v.setFinalizers(ctx, left); err != nil {
		return err
	}
	owner := ownerOf(v.unit)
	_ = v.Line.Bury(ctx, owner) // the unit must not hang for its history's sake
	v.forget(owner)
	return nil
}
