package receiver

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
)

// fieldManager is the manager of the annotation, as Flux names it.
const fieldManager = "notification-controller"

// Cluster is where the resources of Receivers are.
type Cluster struct{ *kube.Cluster }

// List returns the metadata of resources; see resources.
func (c Cluster) List(ctx context.Context, ref object.Ref, matching map[string]string) ([]*metav1.PartialObjectMetadata, error) {
	mapping, err := c.Map(ctx, ref)
	if err != nil {
		return nil, err
	}
	door := c.Metadata().Resource(mapping.Resource).Namespace(ref.Namespace)
	if ref.Name != "" {
		one, err := door.Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", ref, err)
		}
		return []*metav1.PartialObjectMetadata{one}, nil
	}
	list, err := door.List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(matching).String()})
	if err != nil {
		return nil, fmt.Errorf("listing resources of kind %s: %w", ref.Kind, err)
	}
	found := make([]*metav1.PartialObjectMetadata, len(list.Items))
	for i := range list.Items {
		found[i] = &list.Items[i]
	}
	return found, nil
}

// Ask sets the annotation that asks for a reconciliation, in one request.
func (c Cluster) Ask(ctx context.Context, ref object.Ref, stamp string) error {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{meta.ReconcileRequestAnnotation: stamp},
	}})
	if err != nil {
		return err
	}
	_, err = c.Patch(ctx, ref, types.MergePatchType, body, fieldManager)
	return err
}
