package install

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/config/crd"
	"holdfast.dev/holdfast/config/install"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/operator"
)

// manager owns the fields that an installation sets.
const manager = "holdfast"

// deployments is what the controller's Deployment is one of.
var deployments = object.Ref{Group: "apps", Version: "v1", Kind: "Deployment"}

// Manifests returns all that an installation consists of, the definitions included, in order.
func Manifests(o install.Options) ([]*unstructured.Unstructured, error) {
	objects, err := install.Objects(o)
	if err != nil {
		return nil, err
	}
	defined, err := definitions()
	if err != nil {
		return nil, err
	}
	// The namespace comes first.
	return append(append(objects[:1:1], defined...), objects[1:]...), nil
}

func definitions() ([]*unstructured.Unstructured, error) {
	all, err := crd.All()
	if err != nil {
		return nil, err
	}
	defined := make([]*unstructured.Unstructured, 0, len(all))
	for _, definition := range all {
		u, err := operator.Definition(definition)
		if err != nil {
			return nil, fmt.Errorf("encoding definition %s: %w", definition.Name, err)
		}
		defined = append(defined, u)
	}
	return defined, nil
}

// Apply installs, or brings an installation up to date. applied hears of each object. It returns when
// the server has taken everything; Await waits for the controller.
func Apply(ctx context.Context, cluster *kube.Cluster, o install.Options, applied func(object.Ref)) error {
	objects, err := install.Objects(o)
	if err != nil {
		return err
	}
	if err := refuseRival(ctx, cluster); err != nil {
		return err
	}
	if err := operator.InstallDefinitions(ctx, cluster); err != nil {
		return err
	}
	for _, u := range objects {
		ref := object.RefOf(u)
		body, err := u.MarshalJSON()
		if err != nil {
			return fmt.Errorf("encoding %s: %w", ref, err)
		}
		if _, err := cluster.Apply(ctx, ref, body, kube.ApplyOptions{Manager: manager}); err != nil {
			return fmt.Errorf("installing %s: %w", ref, err)
		}
		applied(ref)
	}
	if o.DefaultServiceAccount == "" {
		return nil
	}
	// An earlier installation may have given what this one must not have.
	err = remove(ctx, cluster, object.Ref{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding", Name: install.Delivery})
	if err != nil {
		return fmt.Errorf("taking the right to deliver away: %w", err)
	}
	return nil
}

// RivalError says that another engine serves the same kinds in the cluster.
type RivalError struct {
	Found []string // "namespace/name" of Deployments
}

// Error implements error.
func (e *RivalError) Error() string {
	return "Flux's own controllers run in this cluster (" + strings.Join(e.Found, ", ") + "): two engines must not serve the same units"
}

// rivals are the controllers of Flux that serve what the definitions here define.
var rivals = map[string]bool{
	"source-controller": true, "kustomize-controller": true, "helm-controller": true, "notification-controller": true,
}

// refuseRival looks for controllers of Flux that run, in any namespace.
func refuseRival(ctx context.Context, cluster *kube.Cluster) error {
	mapping, err := cluster.Map(ctx, deployments)
	if err != nil {
		return fmt.Errorf("asking the cluster for its kinds: %w", err)
	}
	list, err := cluster.Dynamic().Resource(mapping.Resource).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=flux"})
	if err != nil {
		return fmt.Errorf("looking for Flux's own controllers: %w", err)
	}
	rival := &RivalError{}
	for i := range list.Items {
		u := &list.Items[i]
		replicas, _, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
		if rivals[u.GetName()] && replicas > 0 {
			rival.Found = append(rival.Found, u.GetNamespace()+"/"+u.GetName())
		}
	}
	if len(rival.Found) > 0 {
		return rival
	}
	return nil
}

// remove deletes an object. One that is not there, or whose kind is not, is none the worse.
func remove(ctx context.Context, cluster *kube.Cluster, ref object.Ref) error {
	err := cluster.Delete(ctx, ref, kube.DeleteOptions{})
	if notThere(err) || meta.IsNoMatchError(err) {
		return nil
	}
	return err
}
