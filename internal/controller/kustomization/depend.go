package kustomization

import (
	"context"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
)

// dependencies checks that everything a unit depends on is ready, and, where both share a source, on
// the same revision: that moves a chain in lockstep with each commit (flux-contract 2.4).
func (r *reconciler) dependencies(ctx context.Context, u *kustomizev1.Kustomization, artifact *meta.Artifact) error {
	check := r.depends
	check.Ready = func(u, other *kustomizev1.Kustomization, name types.NamespacedName) error {
		return ready(u, other, name, artifact)
	}
	return check.Check(ctx, u)
}

// read returns a unit.
func (r *reconciler) read(ctx context.Context, name types.NamespacedName) (*kustomizev1.Kustomization, error) {
	var unit kustomizev1.Kustomization
	err := r.Client.Get(ctx, name, &unit)
	return &unit, err
}

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

// dependsOn returns what a unit depends on, with its own idea of when that is ready: what Flux's GetDependsOn
// returns is without.
func dependsOn(u *kustomizev1.Kustomization) []meta.DependencyReference {
	wishes := make([]meta.DependencyReference, len(u.Spec.DependsOn))
	for i, wish := range u.Spec.DependsOn {
		wishes[i] = meta.DependencyReference{Namespace: wish.Namespace, Name: wish.Name, ReadyExpr: wish.ReadyExpr}
	}
	return wishes
}
