package kustomization

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	jsonpatch "github.com/evanphx/json-patch/v5"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/model/object"
)

// StatusManager is the field manager of Kustomization status and finalizers (flux-contract 8.1).
const StatusManager = "gotk-kustomize-controller"

// save writes the status if the visit changed it: one request, or none.
func (v *visit) save(ctx context.Context) error {
	if apiequality.Semantic.DeepEqual(v.status, v.unit.Status) {
		return nil
	}
	patch, err := statusPatch(&v.unit.Status, &v.status)
	if err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	written := v.unit.DeepCopy()
	err = v.Client.Status().Patch(ctx, written, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(StatusManager))
	if err != nil {
		return client.IgnoreNotFound(fmt.Errorf("writing status: %w", err))
	}
	v.unit, v.note.written = written, written
	return nil
}

// statusPatch makes a JSON merge patch (RFC 7386) that holds what differs.
func statusPatch(before, after *kustomizev1.KustomizationStatus) ([]byte, error) {
	type holder struct {
		Status *kustomizev1.KustomizationStatus `json:"status"`
	}
	old, err := json.Marshal(holder{before})
	if err != nil {
		return nil, err
	}
	latest, err := json.Marshal(holder{after})
	if err != nil {
		return nil, err
	}
	return jsonpatch.CreateMergePatch(old, latest)
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

// setFinalizers replaces the finalizers, provided that nobody else changed them meanwhile.
func (v *visit) setFinalizers(ctx context.Context, finalizers []string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"finalizers": finalizers, "resourceVersion": v.unit.ResourceVersion,
	}})
	if err != nil {
		return fmt.Errorf("writing finalizers: %w", err)
	}
	written := v.unit.DeepCopy()
	if err := v.Client.Patch(ctx, written, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(StatusManager)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("writing finalizers: %w", err))
	}
	v.unit, v.note.written = written, written
	return nil
}

func nameMeta(name types.NamespacedName) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}
}
