package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Cluster is a cluster's units and sources. It is safe for concurrent use.
type Cluster struct {
	client client.WithWatch
}

// Connect prepares a client. It does not talk to the server yet.
func Connect(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // the server's own priority and fairness is the limit
	config.WarningHandler = rest.NoWarnings{}
	reached, err := client.NewWithWatch(config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", config.Host, err)
	}
	return &Cluster{client: reached}, nil
}

// Client returns the client for objects that are neither source nor unit.
func (c *Cluster) Client() client.WithWatch { return c.client }

// Selection limits a list. The zero value selects everything in all namespaces.
type Selection struct {
	Namespace string // "" means all
	Names     []string
	Labels    labels.Selector // nil means all
}

func (s Selection) options() *client.ListOptions {
	options := &client.ListOptions{Namespace: s.Namespace, LabelSelector: s.Labels}
	if len(s.Names) == 1 {
		options.FieldSelector = fields.OneTermEqualSelector("metadata.name", s.Names[0])
	}
	return options
}

func (s Selection) has(name string) bool { return len(s.Names) == 0 || slices.Contains(s.Names, name) }

// Served returns those of the kinds that the cluster has, with a list to fill for each.
func (c *Cluster) Served(kinds []Kind) ([]Kind, error) {
	var served []Kind
	for _, kind := range kinds {
		_, err := c.client.RESTMapper().RESTMapping(kind.GroupKind)
		switch {
		case err == nil:
			served = append(served, kind)
		case !apimeta.IsNoMatchError(err):
			return nil, fmt.Errorf("asking the cluster for its kinds: %w", err)
		}
	}
	if len(served) == 0 {
		return nil, &NotServedError{Kinds: kinds}
	}
	return served, nil
}

// NotServedError says that the cluster has none of the kinds that were asked for.
type NotServedError struct{ Kinds []Kind }

// Error implements error.
func (e *NotServedError) Error() string {
	plurals := make([]string, len(e.Kinds))
	for i, kind := range e.Kinds {
		plurals[i] = kind.Plural
	}
	return "the cluster does not serve " + strings.Join(plurals, ", ")
}

// List returns the resources of the kinds that the cluster serves, ordered by kind, namespace and
// name. It is an error only when the cluster serves none of the kinds.
func (c *Cluster) List(ctx context.Context, kinds []Kind, selection Selection) ([]Resource, error) {
	served, err := c.Served(kinds)
	if err != nil {
		return nil, err
	}
	var resources []Resource
	for _, kind := range served {
		listed, err := c.list(ctx, kind, selection)
		if err != nil {
			return nil, err
		}
		resources = append(resources, listed...)
	}
	return resources, nil
}

// list returns the selected resources of one kind, sorted.
func (c *Cluster) list(ctx context.Context, kind Kind, selection Selection) ([]Resource, error) {
	list, err := c.emptyList(kind)
	if err != nil {
		return nil, err
	}
	if err := c.client.List(ctx, list, selection.options()); err != nil {
		return nil, fmt.Errorf("listing %s: %w", kind.Plural, err)
	}
	slices.SortFunc(list.Items, byName)
	resources := make([]Resource, 0, len(list.Items))
	for i := range list.Items {
		if selection.has(list.Items[i].GetName()) {
			resources = append(resources, NewResource(kind, &list.Items[i]))
		}
	}
	return resources, nil
}

func (c *Cluster) emptyList(kind Kind) (*unstructured.UnstructuredList, error) {
	mapping, err := c.client.RESTMapper().RESTMapping(kind.GroupKind)
	if err != nil {
		return nil, fmt.Errorf("asking the cluster for %s: %w", kind.Plural, err)
	}
	list := &unstructured.UnstructuredList{}
	gvk := mapping.GroupVersionKind
	gvk.Kind += "List"
	list.SetGroupVersionKind(gvk)
	return list, nil
}

// Get returns one resource.
func (c *Cluster) Get(ctx context.Context, kind Kind, namespace, name string) (Resource, error) {
	mapping, err := c.client.RESTMapper().RESTMapping(kind.GroupKind)
	if err != nil {
		return Resource{}, fmt.Errorf("asking the cluster for %s: %w", kind.Plural, err)
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(mapping.GroupVersionKind)
	if err := c.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, u); err != nil {
		return Resource{}, fmt.Errorf("getting %s/%s: %w", kind.Word(), name, err)
	}
	return NewResource(kind, u), nil
}

// Find returns the one resource of that name among the kinds that the cluster serves.
func (c *Cluster) Find(ctx context.Context, kinds []Kind, namespace, name string) (Resource, error) {
	served, err := c.Served(kinds)
	if err != nil {
		return Resource{}, err
	}
	var found []Resource
	for _, kind := range served {
		resource, err := c.Get(ctx, kind, namespace, name)
		switch {
		case err == nil:
			found = append(found, resource)
		case !apierrors.IsNotFound(err):
			return Resource{}, err
		}
	}
	switch len(found) {
	case 0:
		return Resource{}, &NotFoundError{Kinds: kinds, Namespace: namespace, Name: name}
	case 1:
		return found[0], nil
	default:
		return Resource{}, &AmbiguousError{Name: name, Found: found}
	}
}

// NotFoundError says that no resource has the name.
type NotFoundError struct {
	Kinds           []Kind
	Namespace, Name string
}

// Error implements error.
func (e *NotFoundError) Error() string {
	word := string(e.Kinds[0].Role)
	if len(e.Kinds) == 1 {
		word = e.Kinds[0].Word()
	}
	return fmt.Sprintf("there is no %s %q in namespace %q", word, e.Name, e.Namespace)
}

// AmbiguousError says that resources of several kinds have the name.
type AmbiguousError struct {
	Name  string
	Found []Resource
}

// Error implements error.
func (e *AmbiguousError) Error() string {
	names := make([]string, len(e.Found))
	for i, resource := range e.Found {
		names[i] = resource.String()
	}
	return fmt.Sprintf("%q may be %s", e.Name, strings.Join(names, " or "))
}
