package kustomization

import (
	"context"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/model/object"
)

// StatusManager is the field manager of Kustomization status and finalizers (flux-contract 8.1).
const StatusManager = "gotk-kustomize-controller"

// save writes the status if the visit changed it: one request, or none.
func (v *visit) save(ctx context.Context) error {
	if apiequality.Semantic.DeepEqual(v.status, v.unit.Status) {
		return nil
	}
	written, err := delivery.SaveStatus(ctx, v.Client, v.unit, &v.unit.Status, &v.status, StatusManager)
	if err != nil {
		return err
	}
	v.unit, v.note.Written = written, written
	return nil
}

// intend saves an inventory before the objects that are new in it come to exist, so that a crash
// orphans nothing, and shows that work is under way. It costs a request only if something is new.
func (v *visit) intend(ctx context.Context, inventory []object.Ref) error {
	intended := inventoryTo(inventory)
	known := v.status.Inventory != nil && slices.Equal(v.status.Inventory.Entries, intended.Entries)
	if known && v.stood {
		return nil
	}
	status := v.status
	v.status.Inventory = intended
	v.progressing(&v.status, false)
	if known && !v.wasReady(&status) {
		return nil // nothing that a crash would lose, and nobody is misled by the old status
	}
	return v.save(ctx)
}

// wasReady tells whether the status claims that the unit is ready, for whichever revision.
func (v *visit) wasReady(status *kustomizev1.KustomizationStatus) bool {
	for _, condition := range status.Conditions {
		if condition.Type == "Ready" {
			return condition.Status == metav1.ConditionTrue
		}
	}
	return false
}

// adopt adds our finalizer, which is Flux's, before anything is made that it would have to clean up.
func (v *visit) adopt(ctx context.Context) error {
	if slices.Contains(v.unit.Finalizers, kustomizev1.KustomizationFinalizer) {
		return nil
	}
	return v.setFinalizers(ctx, append(slices.Clone(v.unit.Finalizers), kustomizev1.KustomizationFinalizer))
}

func (v *visit) setFinalizers(ctx context.Context, finalizers []string) error {
	written, err := delivery.SetFinalizers(ctx, v.Client, v.unit, finalizers, StatusManager)
	if err != nil {
		return err
	}
	v.unit, v.note.Written = written, written
	return nil
}

func nameMeta(name types.NamespacedName) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}
}
