package policy

import (
	"context"
	"fmt"
	"strings"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/policy/celpolicy"
	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno"
)

// maxRead bounds how many objects a policy may be given.
const maxRead = 5000

// reader reads for policies: from the commit, then from the cluster as the unit may. What it read once it
// answers again, so that a policy for a hundred objects costs one request. It belongs to one set and is not
// safe for concurrent use.
type reader struct {
	ctx        context.Context //nolint:containedctx // policies' functions pass none, and it lives as long as one set
	set        check.Set
	brought    []object.Object
	namespaces map[string]map[string]any
	answers    map[string]answer
}

type answer struct {
	objects []map[string]any
	err     error
}

func newReader(ctx context.Context, set check.Set, brought []object.Object) *reader {
	r := &reader{ctx: ctx, set: set, brought: brought, namespaces: map[string]map[string]any{}, answers: map[string]answer{}}
	for _, one := range brought {
		if one.Group == "" && one.Kind == "Namespace" {
			if decoded, err := one.Decode(); err == nil {
				r.namespaces[one.Name] = decoded.Object
			}
		}
	}
	return r
}

// forKyverno returns the reader, or nothing where there is neither a cluster nor anything brought.
func (r *reader) forKyverno() kyverno.Reader { return r }

func (r *reader) forCEL() celpolicy.Reader {
	if r.set.Cluster == nil {
		return nil
	}
	return r
}

// ConfigMap implements kyverno.Reader.
func (r *reader) ConfigMap(_ context.Context, namespace, name string) (map[string]any, error) {
	for _, one := range r.brought {
		if one.Group == "" && one.Kind == "ConfigMap" && one.Namespace == namespace && one.Name == name {
			decoded, err := one.Decode()
			if err != nil {
				return nil, err
			}
			return decoded.Object, nil
		}
	}
	return r.Read("v1", "configmaps", namespace, name)
}

// Get implements kyverno.Reader for paths that name objects.
func (r *reader) Get(_ context.Context, path string) (any, error) {
	path, _, _ = strings.Cut(path, "?")
	apiVersion, rest, err := split(path)
	if err != nil {
		return nil, err
	}
	namespace := ""
	if len(rest) >= 3 && rest[0] == "namespaces" {
		namespace, rest = rest[1], rest[2:]
	}
	switch len(rest) {
	case 1:
		found, err := r.List(apiVersion, rest[0], namespace, nil)
		if err != nil {
			return nil, err
		}
		items := make([]any, len(found))
		for i, one := range found {
			items[i] = one
		}
		return map[string]any{"apiVersion": apiVersion, "kind": "List", "items": items}, nil
	case 2:
		return r.Read(apiVersion, rest[0], namespace, rest[1])
	default:
		return nil, fmt.Errorf("%s: policies read objects and lists of them, nothing else", path)
	}
}

// split parts a path of the API into its version and the rest.
func split(path string) (apiVersion string, rest []string, err error) {
	steps := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(steps) >= 3 && steps[0] == "api":
		return steps[1], steps[2:], nil
	case len(steps) >= 4 && steps[0] == "apis":
		return steps[1] + "/" + steps[2], steps[3:], nil
	default:
		return "", nil, fmt.Errorf("%s: it names no object", path)
	}
}

func (r *reader) resource(apiVersion, resource, namespace string) (dynamic.ResourceInterface, error) {
	if r.set.Cluster == nil {
		return nil, fmt.Errorf("reading %s: there is no cluster", resource)
	}
	version, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", resource, err)
	}
	all := r.set.Cluster.Dynamic().Resource(version.WithResource(resource))
	if namespace == "" {
		return all, nil
	}
	return all.Namespace(namespace), nil
}

// Read implements celpolicy.Reader.
func (r *reader) Read(apiVersion, resource, namespace, name string) (map[string]any, error) {
	found := r.once(strings.Join([]string{apiVersion, resource, namespace, name}, "/"), func() ([]map[string]any, error) {
		client, err := r.resource(apiVersion, resource, namespace)
		if err != nil {
			return nil, err
		}
		one, err := client.Get(r.ctx, name, meta.GetOptions{})
		if err != nil {
			return nil, err
		}
		return []map[string]any{one.Object}, nil
	})
	if found.err != nil {
		return nil, found.err
	}
	return found.objects[0], nil
}

// List implements celpolicy.Reader.
func (r *reader) List(apiVersion, resource, namespace string, selected map[string]string) ([]map[string]any, error) {
	selector := labels.SelectorFromSet(selected).String()
	found := r.once(strings.Join([]string{apiVersion, resource, namespace, "?" + selector}, "/"), func() ([]map[string]any, error) {
		client, err := r.resource(apiVersion, resource, namespace)
		if err != nil {
			return nil, err
		}
		list, err := client.List(r.ctx, meta.ListOptions{LabelSelector: selector, Limit: maxRead})
		if err != nil {
			return nil, err
		}
		if list.GetContinue() != "" {
			return nil, fmt.Errorf("reading %s: there are more than %d", resource, maxRead)
		}
		return contents(list.Items), nil
	})
	return found.objects, found.err
}

func contents(items []unstructured.Unstructured) []map[string]any {
	objects := make([]map[string]any, len(items))
	for i, one := range items {
		objects[i] = one.Object
	}
	return objects
}

func (r *reader) once(question string, ask func() ([]map[string]any, error)) answer {
	found, ok := r.answers[question]
	if !ok {
		found.objects, found.err = ask()
		r.answers[question] = found
	}
	return found
}

// params finds the parameters of a policy: those that the commit brings take the place of those of the
// cluster.
func (r *reader) params(apiVersion, kind string) (objects []map[string]any, namespaced bool, err error) {
	group, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, false, fmt.Errorf("reading the kind of parameters: %w", err)
	}
	brought := map[string]bool{}
	for _, one := range r.brought {
		if one.Group != group.Group || one.Kind != kind {
			continue
		}
		decoded, err := one.Decode()
		if err != nil {
			return nil, false, err
		}
		namespaced = namespaced || one.Namespace != ""
		brought[one.Namespace+"/"+one.Name] = true
		objects = append(objects, decoded.Object)
	}
	ref := object.Ref{Group: group.Group, Version: group.Version, Kind: kind}
	mapping, err := r.set.Kinds.Map(r.ctx, ref)
	if err != nil || r.set.Cluster == nil {
		return objects, namespaced || err == nil && mapping.Namespaced, nil
	}
	found, err := r.List(apiVersion, mapping.Resource.Resource, "", nil)
	if err != nil {
		return nil, false, err
	}
	for _, one := range found {
		u := unstructured.Unstructured{Object: one}
		if !brought[u.GetNamespace()+"/"+u.GetName()] {
			objects = append(objects, one)
		}
	}
	return objects, mapping.Namespaced, nil
}
