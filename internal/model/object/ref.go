package object

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Ref names an object in a cluster. It is comparable, so it can be a map key; use Key for a map
// that must not tell API versions of the same object apart.
type Ref struct {
	Group     string `json:"group,omitempty"`
	Version   string `json:"version,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// RefOf returns the reference of an object as its metadata has it.
func RefOf(u *unstructured.Unstructured) Ref {
	gvk := u.GroupVersionKind()
	return Ref{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: u.GetNamespace(), Name: u.GetName()}
}

// GVK returns the group, version and kind.
func (r Ref) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
}

// Key returns the reference without its version: the identity of the object in the cluster.
func (r Ref) Key() Ref {
	r.Version = ""
	return r
}

// String writes the reference as Flux's messages and events do: "Kind/namespace/name", or
// "Kind/name" where there is no namespace (pkg/ssa/utils FmtObjMetadata).
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + "/" + r.Name
	}
	return r.Kind + "/" + r.Namespace + "/" + r.Name
}

// ID writes the reference in the form of a Flux inventory entry, "namespace_name_group_kind", with
// empty parts kept and the colons of RBAC names doubled to underscores (cli-utils ObjMetadata).
func (r Ref) ID() string {
	return strings.Join([]string{r.Namespace, strings.ReplaceAll(r.Name, ":", "__"), r.Group, r.Kind}, "_")
}

// ParseID reads an inventory entry: the identifier and its API version.
func ParseID(id, version string) (Ref, error) {
	namespace, rest, ok := strings.Cut(id, "_")
	kindAt := strings.LastIndex(rest, "_")
	if !ok || kindAt < 0 {
		return Ref{}, malformed(id)
	}
	kind, rest := rest[kindAt+1:], rest[:kindAt]
	groupAt := strings.LastIndex(rest, "_")
	if groupAt < 0 {
		return Ref{}, malformed(id)
	}
	group, name := rest[groupAt+1:], rest[:groupAt]
	if kind == "" || name == "" {
		return Ref{}, malformed(id)
	}
	return Ref{Group: group, Version: version, Kind: kind, Namespace: namespace, Name: strings.ReplaceAll(name, "__", ":")}, nil
}

func malformed(id string) error {
	return fmt.Errorf("inventory entry %q is not of the form namespace_name_group_kind", id)
}

// Compare orders references by group, kind, namespace and name.
func (r Ref) Compare(other Ref) int {
	return cmp.Or(
		cmp.Compare(r.Group, other.Group), cmp.Compare(r.Kind, other.Kind),
		cmp.Compare(r.Namespace, other.Namespace), cmp.Compare(r.Name, other.Name))
}
