package check

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
)

// Kinds tells how kinds are reached; a kind that nobody serves is a meta.NoMatch error.
type Kinds interface {
	Map(ctx context.Context, ref object.Ref) (kube.Mapping, error)
}

// Set is what is judged: what one unit wants, and what is known around it. Judges must not modify it.
type Set struct {
	// Unit is who wants the objects.
	Unit object.Owner
	// Objects are what is wanted, sorted for writing. When judges see them, cluster-scoped ones have no
	// namespace.
	Objects []object.Object
	// Kinds tells which kinds there are.
	Kinds Kinds
	// Cluster is where the objects go, under the unit's own identity. It is nil where there is none, as
	// on a command line.
	Cluster *kube.Cluster
	// Others are objects that other units bring to the same cluster, as far as that is known: a command
	// knows the whole tree, a delivery only its own unit.
	Others []object.Object

	// Before returns the objects of the release that stands, nil where there is none or where it is what
	// is wanted already. It may have to fetch them. Nil is nothing.
	Before func(ctx context.Context) ([]object.Object, error)
	// Owned names what the unit has in the cluster so far, and Prune says that what is wanted no more is
	// deleted.
	Owned []object.Ref
	Prune bool
	// Heirs cuts off a list what other units take over, and what is therefore not deleted. Nil is nobody.
	Heirs func(ctx context.Context, given []object.Ref) (ours []object.Ref)
	// Allowed is what the unit's author acknowledges beforehand, as the annotation has it.
	Allowed string
	// Force says that objects are deleted and made anew where a field cannot be changed.
	Force bool

	// Hidden are values that are no secrets in plain text: they were encrypted in the tree, or come from
	// a Secret of the cluster. They are for comparison and must not be told.
	Hidden []redact.Text
	// Placeholders are texts that stand in objects for values that nobody knows here.
	Placeholders []string
	// Read returns a file of the tree, by the name that objects have as their source. Nil is no files.
	Read func(name string) ([]byte, error)

	defines map[groupKind]bool // true is namespaced
	unknown map[object.Ref]bool
	inside  map[groupKind]bool // kinds that live in namespaces
}

// Known tells whether the kind of an object is known: served, or defined in the set.
func (s Set) Known(ref object.Ref) bool { return !s.unknown[ref] }

// namespaced tells whether a kind is known to live in namespaces.
func (s Set) namespaced(ref object.Ref) bool { return s.inside[groupKind{ref.Group, ref.Kind}] }

// Doomed names what the unit owns and wants no more, and what would therefore be deleted. It costs
// nothing where everything is still wanted.
func (s Set) Doomed(ctx context.Context) []object.Ref {
	if !s.Prune {
		return nil
	}
	stale := Stale(s.Owned, s.Objects)
	if len(stale) > 0 && s.Heirs != nil {
		stale = s.Heirs(ctx, stale)
	}
	return stale
}

// Stale returns what is owned and not wanted.
func Stale(owned []object.Ref, wanted []object.Object) []object.Ref {
	if len(owned) == 0 {
		return nil
	}
	keep := make(map[object.Ref]bool, len(wanted))
	for _, one := range wanted {
		keep[one.Key()] = true
	}
	var stale []object.Ref
	for _, ref := range owned {
		if !keep[ref.Key()] {
			stale = append(stale, ref)
		}
	}
	return stale
}

// Judge looks at a whole set. An error means that it could not look: the set is then neither passed nor
// refused. Findings need no file and no line where they name an object of the set. It is safe for
// concurrent use.
type Judge interface {
	Judge(ctx context.Context, set Set) ([]finding.Finding, error)
}

// JudgeFunc is a Judge that is a function.
type JudgeFunc func(ctx context.Context, set Set) ([]finding.Finding, error)

// Judge implements Judge.
func (f JudgeFunc) Judge(ctx context.Context, set Set) ([]finding.Finding, error) { return f(ctx, set) }

// Versioned is a Judge whose verdict on the same set may become another one, as when a policy changes in
// the cluster. What passed under a version need not be judged again while the version is the same.
type Versioned interface {
	Version(unit object.Owner) string
}

// Version joins the versions of judges, for one unit.
func Version(unit object.Owner, judges []Judge) string {
	version := ""
	for _, judge := range judges {
		if changing, ok := judge.(Versioned); ok {
			version += changing.Version(unit) + "\x00"
		}
	}
	return version
}

type groupKind struct{ group, kind string }

// settled returns the set with each object in its scope, and the kinds that it brings.
func (s Set) settled(ctx context.Context) (Set, error) {
	s.defines, s.unknown, s.inside = definitions(s.Objects), map[object.Ref]bool{}, map[groupKind]bool{}
	others := definitions(s.Others)
	objects := make([]object.Object, len(s.Objects))
	for i, wanted := range s.Objects {
		namespaced, known, err := s.scope(ctx, others, wanted.Ref)
		if err != nil {
			return s, fmt.Errorf("mapping %s: %w", wanted.Ref, err)
		}
		if known && !namespaced {
			wanted.Namespace = ""
		}
		switch {
		case !known:
			s.unknown[wanted.Ref] = true
		case namespaced:
			s.inside[groupKind{wanted.Group, wanted.Kind}] = true
		}
		objects[i] = wanted
	}
	s.Objects = objects
	return s, nil
}

// scope tells whether objects of ref's kind live in namespaces, and whether that is known yet.
func (s Set) scope(ctx context.Context, others map[groupKind]bool, ref object.Ref) (namespaced, known bool, err error) {
	kind := groupKind{ref.Group, ref.Kind}
	if namespaced, known = s.defines[kind]; known {
		return namespaced, true, nil
	}
	if namespaced, known = others[kind]; known {
		return namespaced, true, nil
	}
	mapping, err := s.Kinds.Map(ctx, ref)
	if meta.IsNoMatchError(err) {
		return false, false, nil // its definition may come from another unit; apply will tell
	}
	return mapping.Namespaced, err == nil, err
}

// definitions returns the kinds that CustomResourceDefinitions in the set bring, with their scope.
func definitions(objects []object.Object) map[groupKind]bool {
	found := map[groupKind]bool{}
	for _, wanted := range objects {
		if wanted.Kind != "CustomResourceDefinition" {
			continue
		}
		var definition struct {
			Spec struct {
				Group string                `json:"group"`
				Scope string                `json:"scope"`
				Names struct{ Kind string } `json:"names"`
			} `json:"spec"`
		}
		if json.Unmarshal(wanted.JSON, &definition) == nil && definition.Spec.Names.Kind != "" {
			found[groupKind{definition.Spec.Group, definition.Spec.Names.Kind}] = definition.Spec.Scope == "Namespaced"
		}
	}
	return found
}
