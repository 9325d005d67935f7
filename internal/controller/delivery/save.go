package delivery

import (
	"context"
	"encoding/json"
	"fmt"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// SaveStatus writes what of a status differs from before, under a field manager's name, into a copy of the
// resource, which is returned as the server has it then. A resource that is gone is no error.
func SaveStatus[T client.Object](ctx context.Context, c client.Client, resource T, before, after any, manager string) (T, error) {
	written, _ := resource.DeepCopyObject().(T)
	patch, err := statusPatch(before, after)
	if err == nil {
		err = c.Status().Patch(ctx, written, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(manager))
	}
	if err != nil {
		return resource, client.IgnoreNotFound(fmt.Errorf("writing status: %w", err))
	}
	return written, nil
}

// statusPatch makes a JSON merge patch (RFC 7386) that holds what differs.
func statusPatch(before, after any) ([]byte, error) {
	type holder struct {
		Status any `json:"status"`
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

// SetFinalizers replaces the finalizers, provided that nobody else changed them meanwhile.
func SetFinalizers[T client.Object](ctx context.Context, c client.Client, resource T, finalizers []string, manager string) (T, error) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"finalizers": finalizers, "resourceVersion": resource.GetResourceVersion(),
	}})
	if err != nil {
		return resource, fmt.Errorf("writing finalizers: %w", err)
	}
	written, _ := resource.DeepCopyObject().(T)
	if err := c.Patch(ctx, written, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(manager)); err != nil {
		return resource, client.IgnoreNotFound(fmt.Errorf("writing finalizers: %w", err))
	}
	return written, nil
}
