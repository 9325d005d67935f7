package kustomization

import (
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/observe"
	"holdfast.dev/holdfast/internal/stage/render"
)

// ownerOf names the unit of a Kustomization.
func ownerOf(u *kustomizev1.Kustomization) object.Owner {
	return object.Owner{Namespace: u.Namespace, Name: u.Name}
}

// reachOf says where a unit is delivered to.
func reachOf(u *kustomizev1.Kustomization) delivery.Reach {
	return delivery.Reach{Owner: ownerOf(u), KubeConfig: u.Spec.KubeConfig, Account: u.Spec.ServiceAccountName}
}

// selfOf refers to the Kustomization as an object.
func selfOf(u *kustomizev1.Kustomization) object.Ref {
	version := kustomizev1.GroupVersion
	return object.Ref{Group: version.Group, Version: version.Version, Kind: kustomizev1.KustomizationKind, Namespace: u.Namespace, Name: u.Name}
}

// jobOf turns a Kustomization into what the line understands. Tree, variables, site and inventory
// are the caller's to fill in. Errors are for the author of the resource.
func jobOf(u *kustomizev1.Kustomization) (pipeline.Job, error) {
	health, err := healthOf(u.Spec.HealthCheckExprs)
	if err != nil {
		return pipeline.Job{}, fault.Stall(meta.InvalidCELExpressionReason, err)
	}
	ignore, err := ignoreOf(u.Spec.Ignore)
	if err != nil {
		return pipeline.Job{}, fault.Stall("InvalidIgnoreRule", err)
	}
	checks, err := checksOf(u)
	if err != nil {
		return pipeline.Job{}, fault.Stall(meta.HealthCheckFailedReason, err)
	}
	return pipeline.Job{
		Unit: ownerOf(u), Self: selfOf(u),
		Prune: u.Spec.Prune, Force: u.Spec.Force, Ignore: ignore,
		Wait: u.Spec.Wait, Checks: checks, Health: health,
		Timeout: u.GetTimeout(), Interval: u.Spec.Interval.Duration,
	}, nil
}

// renderOf gathers what the build is told.
func renderOf(u *kustomizev1.Kustomization) render.Input {
	input := render.Input{
		Owner: ownerOf(u), Path: u.Spec.Path,
		TargetNamespace: u.Spec.TargetNamespace, NamePrefix: u.Spec.NamePrefix, NameSuffix: u.Spec.NameSuffix,
		Components: u.Spec.Components, IgnoreMissingComponents: u.Spec.IgnoreMissingComponents,
	}
	for _, patch := range u.Spec.Patches {
		input.Patches = append(input.Patches, render.Patch{Patch: patch.Patch, Target: selectorOf(patch.Target)})
	}
	for _, image := range u.Spec.Images {
		input.Images = append(input.Images, render.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest})
	}
	for _, option := range u.Spec.BuildMetadata {
		input.BuildMetadata = append(input.BuildMetadata, string(option))
	}
	if common := u.Spec.CommonMetadata; common != nil {
		input.Labels, input.Annotations = common.Labels, common.Annotations
	}
	return input
}

func selectorOf(target *kustomize.Selector) *render.Selector {
	if target == nil {
		return nil
	}
	return &render.Selector{
		Group: target.Group, Version: target.Version, Kind: target.Kind, Namespace: target.Namespace, Name: target.Name,
		LabelSelector: target.LabelSelector, AnnotationSelector: target.AnnotationSelector,
	}
}

// healthOf turns health expressions into the observer's form and checks that they compile. An
// expression is matched on the group of its apiVersion; the version does not matter.
func healthOf(exprs []kustomize.CustomHealthCheck) ([]observe.HealthExpr, error) {
	rules := make([]observe.HealthExpr, 0, len(exprs))
	for _, expr := range exprs {
		version, err := schema.ParseGroupVersion(expr.APIVersion)
		if err != nil {
			return nil, fmt.Errorf("healthCheckExprs: %w", err)
		}
		rules = append(rules, observe.HealthExpr{
			Group: version.Group, Kind: expr.Kind,
			InProgress: expr.InProgress, Failed: expr.Failed, Current: expr.Current,
		})
	}
	_, err := observe.Compile(rules)
	return rules, err
}

func ignoreOf(rules []kustomizev1.IgnoreRule) ([]apply.Ignore, error) {
	compiled := make([]apply.Ignore, 0, len(rules))
	for _, rule := range rules {
		var target apply.Target
		if wish := rule.Target; wish != nil {
			target = apply.Target{
				Group: wish.Group, Version: wish.Version, Kind: wish.Kind, Namespace: wish.Namespace, Name: wish.Name,
				LabelSelector: wish.LabelSelector, AnnotationSelector: wish.AnnotationSelector,
			}
		}
		one, err := apply.NewIgnore(rule.Paths, target)
		if err != nil {
			return nil, err
		}
		compiled = append(compiled, one)
	}
	return compiled, nil
}

// checksOf reads healthChecks. An empty apiVersion means apps/v1, an inheritance of Flux's first
// version of the resource (flux-contract 2.1).
func checksOf(u *kustomizev1.Kustomization) ([]object.Ref, error) {
	refs := make([]object.Ref, 0, len(u.Spec.HealthChecks))
	for _, check := range u.Spec.HealthChecks {
		apiVersion := check.APIVersion
		if apiVersion == "" {
			apiVersion = "apps/v1"
		}
		version, err := schema.ParseGroupVersion(apiVersion)
		if err != nil {
			return nil, fmt.Errorf("healthChecks: %w", err)
		}
		refs = append(refs, object.Ref{
			Group: version.Group, Version: version.Version, Kind: check.Kind, Namespace: check.Namespace, Name: check.Name,
		})
	}
	return refs, nil
}

// inventoryOf reads the inventory of a status. Entries that cannot be read are left out: they cannot
// name an object.
func inventoryOf(status *kustomizev1.KustomizationStatus) []object.Ref {
	if status.Inventory == nil {
		return nil
	}
	refs := make([]object.Ref, 0, len(status.Inventory.Entries))
	for _, entry := range status.Inventory.Entries {
		if ref, err := object.ParseID(entry.ID, entry.Version); err == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

// inventoryTo writes an inventory in the form of the status.
func inventoryTo(refs []object.Ref) *kustomizev1.ResourceInventory {
	inventory := &kustomizev1.ResourceInventory{Entries: make([]kustomizev1.ResourceRef, len(refs))}
	for i, ref := range refs {
		inventory.Entries[i] = kustomizev1.ResourceRef{ID: ref.ID(), Version: ref.Version}
	}
	return inventory
}
