package kustomization

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/model/expression"
	"holdfast.dev/holdfast/internal/model/fault"
)

// dependencies checks that everything a unit depends on is ready, and, where both share a source, on
// the same revision: that moves a chain in lockstep with each commit (flux-contract 2.4). Changes of
// the dependencies wake the unit, so nothing has to ask again.
func (r *reconciler) dependencies(ctx context.Context, u *kustomizev1.Kustomization, artifact *meta.Artifact) error {
	for _, wish := range u.Spec.DependsOn {
		name := dependency(u, wish)
		var other kustomizev1.Kustomization
		if err := r.Client.Get(ctx, name, &other); err != nil {
			return waiting(fmt.Errorf("dependency '%s' not found: %w", name, err))
		}
		if wish.ReadyExpr != "" {
			ready, err := r.readyExpr(ctx, wish.ReadyExpr, u, &other)
			if err != nil {
				return err
			}
			if !ready {
				return waiting(fmt.Errorf("dependency '%s' is not ready according to readyExpr eval", name))
			}
			if !r.AdditiveCELDependencyCheck {
				continue
			}
		}
		if err := ready(u, &other, name, artifact); err != nil {
			return cmp.Or(r.cycle(ctx, u, name), waiting(err))
		}
	}
	return nil
}

func waiting(err error) error { return fault.Wait(meta.DependencyNotReadyReason, 0, err) }

// ready is the built-in check of one dependency.
func ready(u, other *kustomizev1.Kustomization, name types.NamespacedName, artifact *meta.Artifact) error {
	if other.Generation != other.Status.ObservedGeneration ||
		!apimeta.IsStatusConditionTrue(other.Status.Conditions, meta.ReadyCondition) {
		return fmt.Errorf("dependency '%s' is not ready", name)
	}
	sameSource := u.Spec.SourceRef.Kind == other.Spec.SourceRef.Kind && sourceName(u) == sourceName(other)
	if sameSource && !artifact.HasRevision(other.Status.LastAppliedRevision) {
		return fmt.Errorf("dependency '%s' revision is not up to date", name)
	}
	return nil
}

// cycle looks for a way from a dependency back to the unit. Units in a cycle wait for each other for
// ever, so the error names them all. A dependency with an expression of its own is no part of one: it
// may hold however the other fares.
func (r *reconciler) cycle(ctx context.Context, u *kustomizev1.Kustomization, from types.NamespacedName) error {
	self := nameOf(u)
	came := map[types.NamespacedName]types.NamespacedName{from: self}
	for queue := []types.NamespacedName{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at == self {
			return fault.Stall(meta.DependencyNotReadyReason, fmt.Errorf(
				"dependency cycle: %s; remove one of these dependsOn entries", route(self, came)))
		}
		var other kustomizev1.Kustomization
		if err := r.Client.Get(ctx, at, &other); err != nil {
			continue // a missing dependency ends this way
		}
		for _, wish := range other.Spec.DependsOn {
			next := dependency(&other, wish)
			if _, seen := came[next]; !seen && (wish.ReadyExpr == "" || r.AdditiveCELDependencyCheck) {
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

// dependency returns the name of a unit that another depends on.
func dependency(u *kustomizev1.Kustomization, wish kustomizev1.DependencyReference) types.NamespacedName {
	name := types.NamespacedName{Namespace: wish.Namespace, Name: wish.Name}
	if name.Namespace == "" {
		name.Namespace = u.Namespace
	}
	return name
}

// readyExpr evaluates the unit's own idea of when a dependency is ready, over the two resources.
func (r *reconciler) readyExpr(ctx context.Context, text string, u, other *kustomizev1.Kustomization) (bool, error) {
	compiled, err := expression.Compile(text, expression.Options{Objects: []string{"self", "dep"}})
	if err != nil {
		return false, fault.Stall(meta.InvalidCELExpressionReason, fmt.Errorf("compiling readyExpr of dependency %s: %w", other.Name, err))
	}
	data := map[string]any{}
	for name, resource := range map[string]*kustomizev1.Kustomization{"self": u, "dep": other} {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(resource)
		if err != nil {
			return false, fmt.Errorf("reading %s for readyExpr: %w", name, err)
		}
		data[name] = fields
	}
	holds, err := compiled.Bool(ctx, data)
	if err != nil {
		return false, waiting(fmt.Errorf("evaluating readyExpr of dependency %s: %w", other.Name, err))
	}
	return holds, nil
}
