package operator

import (
	"context"
	"fmt"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"holdfast.dev/holdfast/config/crd"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
)

// definitionManager owns the definitions that we install.
const definitionManager = "holdfast"

// establishTimeout bounds how long the server may take to serve new kinds.
const establishTimeout = time.Minute

// InstallDefinitions applies the custom resource definitions of all kinds and returns when the
// server serves them.
func InstallDefinitions(ctx context.Context, cluster *kube.Cluster) error {
	definitions, err := crd.All()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, establishTimeout)
	defer cancel()
	for _, definition := range definitions {
		wish, err := Definition(definition)
		if err != nil {
			return fmt.Errorf("installing definition %s: %w", definition.Name, err)
		}
		body, err := wish.MarshalJSON()
		if err != nil {
			return fmt.Errorf("installing definition %s: %w", definition.Name, err)
		}
		ref := object.Ref{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition", Name: definition.Name}
		answer, err := cluster.Apply(ctx, ref, body, kube.ApplyOptions{Manager: definitionManager})
		if err != nil {
			return fmt.Errorf("installing definition %s: %w", definition.Name, err)
		}
		if !established(answer.Object) {
			if err := awaitEstablished(ctx, cluster, definition.Name); err != nil {
				return fmt.Errorf("installing definition %s: %w", definition.Name, err)
			}
		}
	}
	cluster.Forget()
	return nil
}

// installNamespace makes the namespace that the daemon keeps its own objects in, if it is missing.
func installNamespace(ctx context.Context, cluster *kube.Cluster, name string) error {
	ref := object.Ref{Version: "v1", Kind: "Namespace", Name: name}
	_, err := cluster.Get(ctx, ref)
	if !apierrors.IsNotFound(err) {
		return err
	}
	body := []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"` + name + `"}}`)
	if _, err := cluster.Apply(ctx, ref, body, kube.ApplyOptions{Manager: definitionManager}); err != nil {
		return fmt.Errorf("making namespace %s: %w", name, err)
	}
	return nil
}

// Definition is a definition as it is applied: without the parts that the server writes.
func Definition(definition *apiextensionsv1.CustomResourceDefinition) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(definition)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetAPIVersion("apiextensions.k8s.io/v1")
	u.SetKind("CustomResourceDefinition")
	unstructured.RemoveNestedField(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	return u, nil
}

func awaitEstablished(ctx context.Context, cluster *kube.Cluster, name string) error {
	resource := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	watcher, err := cluster.Dynamic().Resource(resource).Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String(),
	})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		if event.Type == watch.Error {
			break
		}
		if live, ok := event.Object.(*unstructured.Unstructured); ok && established(live) {
			return nil
		}
	}
	return fmt.Errorf("the server has not established it within %s", establishTimeout)
}

func established(live *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(live.Object, "status", "conditions")
	for _, item := range conditions {
		condition, ok := item.(map[string]any)
		if ok && condition["type"] == "Established" && condition["status"] == "True" {
			return true
		}
	}
	return false
}
