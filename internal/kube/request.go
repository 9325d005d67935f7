package kube

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/model/object"
)

// Get reads an object. A missing object is an error for which apierrors.IsNotFound holds; a kind
// that the server does not serve is one for which meta.IsNoMatchError holds.
func (c *Cluster) Get(ctx context.Context, ref object.Ref) (*unstructured.Unstructured, error) {
	answer, err := c.send(ctx, http.MethodGet, ref, nil, nil)
	return answer.Object, err
}

// ApplyOptions steer a server-side apply.
type ApplyOptions struct {
	Manager string // field manager; required
	DryRun  bool   // judge and answer as if, but store nothing
}

// Applied is the server's answer to an apply.
type Applied struct {
	Object  *unstructured.Unstructured // as it is, or would be, in the cluster
	Created bool                       // it did not exist before
}

// Apply sends the object as the wish of a field manager and takes over fields that others own.
func (c *Cluster) Apply(ctx context.Context, ref object.Ref, body []byte, options ApplyOptions) (Applied, error) {
	return c.send(ctx, http.MethodPatch, ref, body, func(request *rest.Request) {
		request.SetHeader("Content-Type", string(types.ApplyPatchType))
		request.Param("fieldManager", options.Manager).Param("force", "true")
		if options.DryRun {
			request.Param("dryRun", metav1.DryRunAll)
		}
	})
}

// Patch sends a patch of any other type under a field manager's name.
func (c *Cluster) Patch(ctx context.Context, ref object.Ref, kind types.PatchType, body []byte, manager string) (Applied, error) {
	return c.send(ctx, http.MethodPatch, ref, body, func(request *rest.Request) {
		request.SetHeader("Content-Type", string(kind)).Param("fieldManager", manager)
	})
}

// DeleteOptions steer a deletion.
type DeleteOptions struct {
	// UID, when set, makes the deletion apply to that very object and to no later one of its name.
	UID types.UID
	// Foreground keeps the object until its dependents are gone; otherwise they go in the background.
	Foreground bool
	// Orphan leaves the dependents.
	Orphan bool
}

// Delete removes an object. A missing object is an error for which apierrors.IsNotFound holds.
func (c *Cluster) Delete(ctx context.Context, ref object.Ref, options DeleteOptions) error {
	policy := metav1.DeletePropagationBackground
	if options.Foreground {
		policy = metav1.DeletePropagationForeground
	}
	if options.Orphan {
		policy = metav1.DeletePropagationOrphan
	}
	wish := &metav1.DeleteOptions{
		TypeMeta:          metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"},
		PropagationPolicy: &policy,
	}
	if options.UID != "" {
		wish.Preconditions = &metav1.Preconditions{UID: &options.UID}
	}
	body, err := encode(wish)
	if err != nil {
		return err
	}
	_, err = c.send(ctx, http.MethodDelete, ref, body, nil)
	return err
}

// send makes one request about one object and decodes the answer.
func (c *Cluster) send(ctx context.Context, verb string, ref object.Ref, body []byte, adjust func(*rest.Request)) (Applied, error) {
	path, err := c.path(ctx, ref)
	if err != nil {
		return Applied{}, err
	}
	leave, err := c.enter(ctx)
	if err != nil {
		return Applied{}, err
	}
	defer leave()
	request := c.rest.Verb(verb).AbsPath(path)
	if body != nil {
		request.SetHeader("Content-Type", "application/json").Body(body)
	}
	if adjust != nil {
		adjust(request)
	}
	var status int
	result := request.Do(ctx).StatusCode(&status)
	raw, err := result.Raw()
	if err != nil {
		err = result.Error() // Raw's own error does not say what the server did
		c.learn(err)
		return Applied{}, err
	}
	answer := &unstructured.Unstructured{}
	if err := answer.UnmarshalJSON(raw); err != nil {
		return Applied{}, fmt.Errorf("decoding the server's answer for %s: %w", ref, err)
	}
	return Applied{Object: answer, Created: status == http.StatusCreated}, nil
}

// learn forgets the known kinds when the server no longer serves a resource: its CRD was deleted.
func (c *Cluster) learn(err error) {
	status, ok := err.(apierrors.APIStatus)
	if !ok || !apierrors.IsNotFound(err) {
		return
	}
	if details := status.Status().Details; details == nil || details.Name == "" {
		c.Forget()
	}
}

// path returns the URL path of an object.
func (c *Cluster) path(ctx context.Context, ref object.Ref) (string, error) {
	mapping, err := c.Map(ctx, ref)
	if err != nil {
		return "", err
	}
	root := "/apis/" + mapping.Resource.Group + "/" + mapping.Resource.Version
	if mapping.Resource.Group == "" {
		root = "/api/" + mapping.Resource.Version
	}
	if !mapping.Namespaced {
		return root + "/" + mapping.Resource.Resource + "/" + ref.Name, nil
	}
	if ref.Namespace == "" {
		return "", fmt.Errorf("%s namespace not specified", ref)
	}
	return root + "/namespaces/" + ref.Namespace + "/" + mapping.Resource.Resource + "/" + ref.Name, nil
}
