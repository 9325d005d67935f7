package danger

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
)

// holds says in words what would go along with an object, "" where that is nothing. Who may not look must
// assume that something is there.
func holds(ctx context.Context, cluster *kube.Cluster, ref object.Ref, going map[object.Ref]bool) (string, error) {
	if cluster == nil {
		return "", nil
	}
	var what string
	var err error
	switch ref.Group + "/" + ref.Kind {
	case "/PersistentVolumeClaim":
		what, err = claim(ctx, cluster, ref)
	case "/Namespace":
		what, err = namespace(ctx, cluster, ref, going)
	case "apiextensions.k8s.io/CustomResourceDefinition":
		what, err = instances(ctx, cluster, ref, going)
	}
	switch {
	case apierrors.IsForbidden(err):
		return "the unit may not look at what it holds", nil
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return "", nil
	}
	return what, err
}

func claim(ctx context.Context, cluster *kube.Cluster, ref object.Ref) (string, error) {
	live, err := cluster.Get(ctx, ref)
	if err != nil {
		return "", err
	}
	if phase, _, _ := unstructured.NestedString(live.Object, "status", "phase"); phase == "Bound" {
		return "has a volume with data", nil
	}
	return "", nil
}

// inNamespaces are the kinds whose objects make a namespace worth sparing.
var inNamespaces = []schema.GroupVersionResource{
	{Version: "v1", Resource: "persistentvolumeclaims"}, {Group: "apps", Version: "v1", Resource: "statefulsets"},
	{Group: "apps", Version: "v1", Resource: "deployments"}, {Version: "v1", Resource: "secrets"},
}

func namespace(ctx context.Context, cluster *kube.Cluster, ref object.Ref, going map[object.Ref]bool) (string, error) {
	for _, resource := range inNamespaces {
		list, err := cluster.Metadata().Resource(resource).Namespace(ref.Name).List(ctx, metav1.ListOptions{Limit: most})
		if err != nil {
			return "", err
		}
		for _, one := range list.Items {
			if !dependent(one.OwnerReferences) && !gone(going, resource, one.Namespace, one.Name) {
				return "has " + resource.Resource + " that are not this unit's to delete, as " + one.Name, nil
			}
		}
	}
	return "", nil
}

// dependent tells whether an object goes with another one, which counts in its place.
func dependent(owners []metav1.OwnerReference) bool { return len(owners) > 0 }

// most is how many objects are looked at; where there are more, one of them surely stays.
const most = 500

var kindOf = map[string]string{
	"persistentvolumeclaims": "PersistentVolumeClaim", "statefulsets": "StatefulSet", "deployments": "Deployment", "secrets": "Secret",
}

func gone(going map[object.Ref]bool, resource schema.GroupVersionResource, namespace, name string) bool {
	return going[object.Ref{Group: resource.Group, Kind: kindOf[resource.Resource], Namespace: namespace, Name: name}]
}

// instances tells whether a definition has objects that would go along.
func instances(ctx context.Context, cluster *kube.Cluster, ref object.Ref, going map[object.Ref]bool) (string, error) {
	live, err := cluster.Get(ctx, ref)
	if err != nil {
		return "", err
	}
	group, _, _ := unstructured.NestedString(live.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(live.Object, "spec", "names", "plural")
	kind, _, _ := unstructured.NestedString(live.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(live.Object, "spec", "versions")
	for _, one := range versions {
		version, _ := one.(map[string]any)
		if served, _ := version["served"].(bool); !served {
			continue
		}
		name, _ := version["name"].(string)
		list, err := cluster.Metadata().Resource(schema.GroupVersionResource{Group: group, Version: name, Resource: plural}).List(ctx, metav1.ListOptions{Limit: most})
		if err != nil {
			return "", err
		}
		for _, one := range list.Items {
			if !going[object.Ref{Group: group, Kind: kind, Namespace: one.Namespace, Name: one.Name}] {
				return "has objects of its kind, as " + kind + "/" + one.Name, nil
			}
		}
		return "", nil
	}
	return "", nil
}
