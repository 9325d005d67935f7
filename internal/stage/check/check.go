package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
)

// Passed is a set of objects that was judged and may be written. Only Run makes one that holds
// anything, so the compiler keeps unchecked objects away from a cluster.
type Passed struct {
	objects []object.Object
	defines map[groupKind]bool
	unknown bool
}

type groupKind struct{ group, kind string }

// Objects returns the set, sorted for writing. The caller must not modify it.
func (p Passed) Objects() []object.Object { return p.objects }

// Only returns the part of the set that is wanted. What has passed as a whole has passed in part.
func (p Passed) Only(wanted func(object.Object) bool) Passed {
	part := Passed{defines: p.defines, unknown: p.unknown}
	for _, one := range p.objects {
		if wanted(one) {
			part.objects = append(part.objects, one)
		}
	}
	return part
}

// Complete tells whether the kinds of all objects were known; the judgement of a set that is not
// complete may change when more kinds are served.
func (p Passed) Complete() bool { return !p.unknown }

// Defines tells whether the set itself brings the definition of ref's kind, so that the kind may
// not be served yet.
func (p Passed) Defines(ref object.Ref) bool { return p.defines[groupKind{ref.Group, ref.Kind}] }

// kinds tells how kinds are reached; a kind that nobody serves is a meta.NoMatch error.
type kinds interface {
	Map(ctx context.Context, ref object.Ref) (kube.Mapping, error)
}

// Run judges objects. Cluster-scoped objects lose a namespace that a transformer gave them, as the
// server would drop it, so that each object has one identity. The error lists all findings, sorted.
func Run(ctx context.Context, served kinds, objects []object.Object) (Passed, error) {
	scopes := definitions(objects)
	passed := Passed{objects: make([]object.Object, 0, len(objects)), defines: map[groupKind]bool{}}
	for kind := range scopes {
		passed.defines[kind] = true
	}
	var findings []string
	seen := make(map[object.Ref]bool, len(objects))
	for _, wanted := range objects {
		namespaced, known, err := scope(ctx, served, scopes, wanted.Ref)
		if err != nil {
			return Passed{}, fmt.Errorf("mapping %s: %w", wanted.Ref, err)
		}
		passed.unknown = passed.unknown || !known
		if known && !namespaced {
			wanted.Namespace = ""
		}
		if known && namespaced && wanted.Namespace == "" {
			findings = append(findings, named(wanted, "namespace not specified"))
			continue
		}
		if seen[wanted.Key()] {
			findings = append(findings, named(wanted, "the same object is there twice"))
			continue
		}
		seen[wanted.Key()] = true
		passed.objects = append(passed.objects, wanted)
	}
	if len(findings) > 0 {
		sort.Strings(findings)
		return Passed{}, fault.Because("ReconciliationFailed", errors.New(strings.Join(findings, "\n")))
	}
	return passed, nil
}

// scope tells whether objects of ref's kind live in namespaces, and whether that is known yet.
func scope(ctx context.Context, served kinds, defined map[groupKind]bool, ref object.Ref) (namespaced, known bool, err error) {
	if namespaced, known = defined[groupKind{ref.Group, ref.Kind}]; known {
		return namespaced, true, nil
	}
	mapping, err := served.Map(ctx, ref)
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

// named writes a finding with its object and, where it is known, the file it came from.
func named(wanted object.Object, finding string) string {
	text := wanted.Ref.String() + " " + finding
	if wanted.Source != "" {
		text += " (" + wanted.Source + ")"
	}
	return text
}

// Again judges objects that have passed before, so that they can be written again: a release that is
// gone back to must not fail because rules have become stricter since. What a cluster itself refuses
// is refused all the same.
func Again(ctx context.Context, served kinds, objects []object.Object) (Passed, error) {
	return Run(ctx, served, objects)
}
