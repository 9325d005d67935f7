package install

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/config/crd"
	"holdfast.dev/holdfast/config/install"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
)

// finalizer is what the controllers of these kinds hold resources with.
const finalizer = "finalizers.fluxcd.io"

// Remove takes the controller and its rights out of a cluster. The namespace, the definitions, and all
// units and sources stay. removed hears of each object that is gone.
func Remove(ctx context.Context, cluster *kube.Cluster, namespace string, removed func(object.Ref)) error {
	objects, err := install.Objects(install.Options{Image: "none", Namespace: namespace})
	if err != nil {
		return err
	}
	slices.Reverse(objects) // the Deployment is first
	for _, u := range objects {
		ref := object.RefOf(u)
		if ref.Kind == "Namespace" {
			continue
		}
		if err := removeWholly(ctx, cluster, ref, removed); err != nil {
			return err
		}
	}
	return nil
}

// removeWholly deletes an object with all that belongs to it, and returns when it is gone.
func removeWholly(ctx context.Context, cluster *kube.Cluster, ref object.Ref, removed func(object.Ref)) error {
	err := cluster.Delete(ctx, ref, kube.DeleteOptions{Foreground: true})
	if notThere(err) || meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", ref, err)
	}
	gone := func(u *unstructured.Unstructured) bool { return u == nil }
	if err := until(ctx, cluster, ref, gone); err != nil {
		return fmt.Errorf("waiting for %s to be gone: %w", ref, err)
	}
	removed(ref)
	return nil
}

// RemoveAll does what Remove does, and then deletes the definitions, with all units and sources in the
// cluster, and the namespace. What units have delivered stays: nobody is there any more who would
// delete it.
func RemoveAll(ctx context.Context, cluster *kube.Cluster, namespace string, removed func(object.Ref)) error {
	if err := refuseRival(ctx, cluster); err != nil {
		return err
	}
	if err := Remove(ctx, cluster, namespace, removed); err != nil {
		return err
	}
	all, err := crd.All()
	if err != nil {
		return err
	}
	for _, definition := range all {
		if err := letGo(ctx, cluster, stored(definition)); err != nil {
			return err
		}
		ref := object.Ref{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition", Name: definition.Name}
		if err := removeWholly(ctx, cluster, ref, removed); err != nil {
			return err
		}
	}
	cluster.Forget()
	return removeWholly(ctx, cluster, object.Ref{Version: "v1", Kind: "Namespace", Name: namespace}, removed)
}

// letGo takes the finalizer off all resources of a kind, so that they can go without anybody there.
func letGo(ctx context.Context, cluster *kube.Cluster, kind object.Ref) error {
	mapping, err := cluster.Map(ctx, kind)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("asking the cluster for %s: %w", kind.Kind, err)
	}
	list, err := cluster.Dynamic().Resource(mapping.Resource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing %s: %w", mapping.Resource.Resource, err)
	}
	for i := range list.Items {
		u := &list.Items[i]
		kept := slices.DeleteFunc(slices.Clone(u.GetFinalizers()), func(name string) bool { return name == finalizer })
		if len(kept) == len(u.GetFinalizers()) {
			continue
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": kept, "resourceVersion": u.GetResourceVersion()}})
		if err != nil {
			return err
		}
		_, err = cluster.Patch(ctx, object.RefOf(u), types.MergePatchType, patch, manager)
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("letting go of %s: %w", object.RefOf(u), err)
		}
	}
	return nil
}

// stored is how a definition keeps its resources.
func stored(definition *apiextensionsv1.CustomResourceDefinition) object.Ref {
	ref := object.Ref{Group: definition.Spec.Group, Kind: definition.Spec.Names.Kind}
	for _, version := range definition.Spec.Versions {
		if version.Storage {
			ref.Version = version.Name
		}
	}
	return ref
}

func notThere(err error) bool { return apierrors.IsNotFound(err) }
