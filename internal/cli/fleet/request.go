package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// manager is the field manager of Flux's command line. Requests made by either program are then one
// manager's fields, and neither is taken for drift.
const manager = "flux"

// Request asks for a reconciliation now, as Flux's command line does, and returns the token that the
// resource's status echoes once the request was handled.
func (c *Cluster) Request(ctx context.Context, resource Resource, now time.Time) (token string, err error) {
	token = now.Format(time.RFC3339Nano)
	err = c.patch(ctx, resource, map[string]any{
		"metadata": map[string]any{"annotations": map[string]string{meta.ReconcileRequestAnnotation: token}},
	})
	if err != nil {
		return "", fmt.Errorf("requesting a reconciliation of %s: %w", resource, err)
	}
	return token, nil
}

// Ask sets annotations by which a person asks for something, together with a request for a
// reconciliation, and returns the token of that request.
func (c *Cluster) Ask(ctx context.Context, resource Resource, now time.Time, annotations map[string]string) (token string, err error) {
	token = now.Format(time.RFC3339Nano)
	asked := map[string]any{meta.ReconcileRequestAnnotation: token}
	for name, value := range annotations {
		if asked[name] = value; value == "" {
			asked[name] = nil
		}
	}
	if err := c.patch(ctx, resource, map[string]any{"metadata": map[string]any{"annotations": asked}}); err != nil {
		return "", fmt.Errorf("asking %s: %w", resource, err)
	}
	return token, nil
}

// Whoami returns the name under which the server knows the caller, or "" where it does not say.
func (c *Cluster) Whoami(ctx context.Context) string {
	review := &authenticationv1.SelfSubjectReview{}
	if err := c.client.Create(ctx, review); err != nil {
		return ""
	}
	return review.Status.UserInfo.Username
}

// Suspend stops the reconciliation of a resource, or resumes it, and returns it as it is then.
func (c *Cluster) Suspend(ctx context.Context, resource Resource, suspend bool) (Resource, error) {
	changed := Resource{Kind: resource.Kind, Object: resource.Object.DeepCopy()}
	err := c.patch(ctx, changed, map[string]any{"spec": map[string]any{"suspend": suspend}})
	if err != nil {
		return Resource{}, fmt.Errorf("setting spec.suspend of %s to %t: %w", resource, suspend, err)
	}
	return NewResource(changed.Kind, changed.Object), nil
}

// patch sends a merge patch and leaves the server's answer in resource.Object. Both fields that it
// is used for are ours to set whatever else changed, so it takes no notice of the resource version.
func (c *Cluster) patch(ctx context.Context, resource Resource, change map[string]any) error {
	raw, err := json.Marshal(change)
	if err != nil {
		return err
	}
	return c.client.Patch(ctx, resource.Object, client.RawPatch(types.MergePatchType, raw), client.FieldOwner(manager))
}
