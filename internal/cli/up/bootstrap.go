package up

import (
	"context"
	"encoding/json"
	"fmt"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
)

// manager is the field manager of the two resources that tie the repository to the cluster.
const manager = "holdfast-up"

// keep tells the controller to leave a resource alone: repositories that were bootstrapped with Flux
// carry their own copy of these two, with the address of their real remote, which must not replace
// the one that the person asked for.
var keep = map[string]string{object.KeyReconcile: "disabled"}

// bootstrap ties a repository to the cluster: a source and a root unit, under the names that
// repositories made for Flux refer to.
func bootstrap(ctx context.Context, cluster *kube.Cluster, deliver origin) error {
	meta := map[string]any{"name": rootName, "namespace": namespace, "annotations": keep}
	for _, resource := range []struct {
		ref  object.Ref
		body map[string]any
	}{
		{object.Ref{Version: "v1", Kind: "Namespace", Name: namespace}, map[string]any{
			"metadata": map[string]any{"name": namespace},
		}},
		{object.Ref{Group: "source.toolkit.fluxcd.io", Version: "v1", Kind: "GitRepository", Namespace: namespace, Name: rootName}, map[string]any{
			"metadata": meta,
			"spec":     map[string]any{"url": deliver.url, "ref": map[string]any{"branch": deliver.branch}, "interval": "1m"},
		}},
		{object.Ref{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization", Namespace: namespace, Name: rootName}, map[string]any{
			"metadata": meta,
			"spec": map[string]any{
				"path": "./" + deliver.path, "prune": true, "interval": "10m",
				"sourceRef": map[string]any{"kind": "GitRepository", "name": rootName},
			},
		}},
	} {
		version := resource.ref.Version
		if resource.ref.Group != "" {
			version = resource.ref.Group + "/" + version
		}
		resource.body["apiVersion"], resource.body["kind"] = version, resource.ref.Kind
		body, err := json.Marshal(resource.body)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", resource.ref, err)
		}
		if _, err := cluster.Apply(ctx, resource.ref, body, kube.ApplyOptions{Manager: manager}); err != nil {
			return fmt.Errorf("creating %s: %w", resource.ref, err)
		}
	}
	return nil
}
