package up

import (
	"context"
	"encoding/json"
	"fmt"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
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
	if err := giveKeys(ctx, cluster, deliver.keys); err != nil {
		return err
	}
	meta := map[string]any{"name": rootName, "namespace": namespace, "annotations": keep}
	for _, resource := range []struct {
		ref  object.Ref
		body map[string]any
	}{
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
		if err := create(ctx, cluster, resource.ref, resource.body); err != nil {
			return err
		}
	}
	return nil
}

// giveKeys makes the namespace, and the Secret with the keys that open what is delivered. Where none
// are at hand, the keys that the cluster has stay.
func giveKeys(ctx context.Context, cluster *kube.Cluster, keys map[string]redact.Bytes) error {
	home := object.Ref{Version: "v1", Kind: "Namespace", Name: namespace}
	err := create(ctx, cluster, home, map[string]any{"metadata": map[string]any{"name": namespace}})
	if err != nil || len(keys) == 0 {
		return err
	}
	data := map[string][]byte{}
	for name, key := range keys {
		data[name] = key.Reveal()
	}
	return create(ctx, cluster, object.Ref{Version: "v1", Kind: "Secret", Namespace: namespace, Name: keySecret}, map[string]any{
		"metadata": map[string]any{"name": keySecret, "namespace": namespace}, "data": data,
	})
}

func create(ctx context.Context, cluster *kube.Cluster, ref object.Ref, body map[string]any) error {
	version := ref.Version
	if ref.Group != "" {
		version = ref.Group + "/" + version
	}
	body["apiVersion"], body["kind"] = version, ref.Kind
	encoded, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", ref, err)
	}
	if _, err := cluster.Apply(ctx, ref, encoded, kube.ApplyOptions{Manager: manager}); err != nil {
		return fmt.Errorf("creating %s: %w", ref, err)
	}
	return nil
}
