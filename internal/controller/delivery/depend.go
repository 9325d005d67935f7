package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/model/expression"
	"holdfast.dev/holdfast/internal/model/fault"
)

// Dependencies are what units of a kind wait for: others of the same kind.
type Dependencies[T client.Object] struct {
	// Get reads a unit; it must be there.
	Get func(ctx context.Context, name types.NamespacedName) (T, error)
	// Of returns what a unit depends on.
	Of func(unit T) []meta.DependencyReference
	// Ready is the built-in check of one dependency; its error says what is missing.
	Ready func(unit, other T, name types.NamespacedName) error
	// Additive makes the built-in check count beside an expression (AdditiveCELDependencyCheck).
	Additive bool
}

// Check checks that everything a unit depends on is ready. Changes of the dependencies wake the unit, so
// nothing has to ask again.
func (d Dependencies[T]) Check(ctx context.Context, u T) error {
	for _, wish := range d.Of(u) {
		name := Dependency(u, wish)
		other, err := d.Get(ctx, name)
		if err != nil {
			return waiting(fmt.Errorf("dependency '%s' not found: %w", name, err))
		}
		if wish.ReadyExpr != "" {
			ready, err := d.readyExpr(ctx, wish.ReadyExpr, u, other)
			if err != nil {
				return err
			}
			if !ready {
				return waiting(fmt.Errorf("dependency '%s' is not ready according to readyExpr eval", name))
			}
			if !d.Additive {
				continue
			}
		}
		if err := d.Ready(u, other, name); err != nil {
			return cmp.Or(d.cycle(ctx, u, name), waiting(err))
		}
	}
	return nil
}

func waiting(err error) error { return fault.Wait(meta.DependencyNotReadyReason, 0, err) }

// cycle looks for a way from a dependency back to the unit. Units in a cycle wait for each other for
// ever, so the error names them all. A dependency with an expression of its own is no part of one: it
// may hold however the other fares.
func (d Dependencies[T]) cycle(ctx context.Context, u T, from types.NamespacedName) error {
	self := client.ObjectKeyFromObject(u)
	came := map[types.NamespacedName]types.NamespacedName{from: self}
	for queue := []types.NamespacedName{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at == self {
			return fault.Stall(meta.DependencyNotReadyReason, fmt.Errorf(
				"dependency cycle: %s; remove one of these dependsOn entries", route(self, came)))
		}
		other, err := d.Get(ctx, at)
		if err != nil {
			continue // a missing dependency ends this way
		}
		for _, wish := range d.Of(other) {
			next := Dependency(other, wish)
			if _, seen := came[next]; !seen && (wish.ReadyExpr == "" || d.Additive) {
				came[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// route writes the way around a cycle: "a → b → a".
func route(self types.NamespacedName, came map[types.NamespacedName]types.NamespacedName) string {
	way := []string{self.String()}
	for at := came[self]; at != self; at = came[at] {
		way = append(way, at.String())
	}
	way = append(way, self.String())
	slices.Reverse(way)
	return strings.Join(way, " → ")
}

// Dependency returns the name of a unit that another depends on.
func Dependency(u client.Object, wish meta.DependencyReference) types.NamespacedName {
	return types.NamespacedName{Namespace: cmp.Or(wish.Namespace, u.GetNamespace()), Name: wish.Name}
}

// readyExpr evaluates the unit's own idea of when a dependency is ready, over the two resources.
func (d Dependencies[T]) readyExpr(ctx context.Context, text string, u, other T) (bool, error) {
	compiled, err := expression.Compile(text, expression.Options{Objects: []string{"self", "dep"}})
	if err != nil {
		return false, fault.Stall(meta.InvalidCELExpressionReason, fmt.Errorf("compiling readyExpr of dependency %s: %w", other.GetName(), err))
	}
	data := map[string]any{}
	for name, resource := range map[string]T{"self": u, "dep": other} {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(resource)
		if err != nil {
			return false, fmt.Errorf("reading %s for readyExpr: %w", name, err)
		}
		data[name] = fields
	}
	holds, err := compiled.Bool(ctx, data)
	if err != nil {
		return false, waiting(fmt.Errorf("evaluating readyExpr of dependency %s: %w", other.GetName(), err))
	}
	return holds, nil
}
