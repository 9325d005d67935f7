package helmrelease

import (
	"encoding/json"
	"fmt"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/helm"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/pipeline/phase"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/observe"
	"holdfast.dev/holdfast/internal/stage/render/chart"
)

// ownerOf names the unit of a HelmRelease.
func ownerOf(u *helmv2.HelmRelease) object.Owner {
	return object.Owner{Namespace: u.Namespace, Name: u.Name}
}

// releaseName is what the release is called. A name that is too long for Helm is cut.
func releaseName(u *helmv2.HelmRelease) string {
	return chart.ReleaseName(u.Spec.ReleaseName, u.Spec.TargetNamespace, u.Name)
}

func nameOf(owner object.Owner) types.NamespacedName {
	return types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}
}

// keeper is who keeps the unit's ConfigMaps and Secrets at hand.
func keeper(owner object.Owner) string { return "helm/" + owner.String() }

// reachOf says where a unit is delivered to.
func reachOf(u *helmv2.HelmRelease) delivery.Reach {
	return delivery.Reach{Owner: ownerOf(u), KubeConfig: u.Spec.KubeConfig, Account: u.Spec.ServiceAccountName}
}

// installs tells whether the next action is an install, as far as the status tells.
func installs(u *helmv2.HelmRelease) bool { return len(u.Status.History) == 0 }

// jobOf turns a HelmRelease into what the line understands. Chart, values, site and inventory are the
// caller's to fill in. Errors are for the author of the resource.
func jobOf(u *helmv2.HelmRelease) (pipeline.Job, error) {
	version := helmv2.GroupVersion
	job := pipeline.Job{
		Unit:  ownerOf(u),
		Self:  object.Ref{Group: version.Group, Version: version.Version, Kind: helmv2.HelmReleaseKind, Namespace: u.Namespace, Name: u.Name},
		Prune: true, Force: u.GetUpgrade().Force,
		Interval: u.Spec.Interval.Duration, Upkeep: upkeepOf(u), Hooks: hooksOf(u),
	}
	install, upgrade := u.GetInstall(), u.GetUpgrade()
	timeout := upgrade.GetTimeout(u.GetTimeout())
	job.Wait, job.NoJobs = !upgrade.DisableWait, upgrade.DisableWaitForJobs
	if installs(u) {
		timeout = install.GetTimeout(u.GetTimeout())
		job.Wait, job.NoJobs = !install.DisableWait, install.DisableWaitForJobs
	}
	job.Timeout = timeout.Duration
	var err error
	if job.Health, err = healthOf(u.Spec.HealthCheckExprs); err != nil {
		return job, fault.Stall(meta.InvalidCELExpressionReason, err)
	}
	for _, rule := range u.GetDriftDetection().Ignore {
		one, err := apply.NewIgnore(rule.Paths, targetOf(rule.Target))
		if err != nil {
			return job, fault.Stall("InvalidIgnoreRule", err)
		}
		job.Ignore = append(job.Ignore, one)
	}
	return job, nil
}

// upkeepOf says what becomes of changes that others make. Where the resource says nothing, what somebody
// deletes comes back, and the rest is left as it is: a deleted Deployment helps nobody, but charts deliver
// much that others are expected to change.
func upkeepOf(u *helmv2.HelmRelease) pipeline.Upkeep {
	if u.Spec.DriftDetection == nil || u.Spec.DriftDetection.Mode == "" {
		return pipeline.Restore
	}
	if u.Spec.DriftDetection.Mode == helmv2.DriftDetectionEnabled {
		return pipeline.Correct
	}
	return pipeline.Leave
}

func hooksOf(u *helmv2.HelmRelease) pipeline.Hooks {
	hooks := pipeline.Hooks{Off: map[phase.Moment]bool{}}
	for moment, off := range map[phase.Moment]bool{
		phase.PreInstall: u.GetInstall().DisableHooks, phase.PostInstall: u.GetInstall().DisableHooks,
		phase.PreUpgrade: u.GetUpgrade().DisableHooks, phase.PostUpgrade: u.GetUpgrade().DisableHooks,
		phase.PreRollback: u.GetRollback().DisableHooks, phase.PostRollback: u.GetRollback().DisableHooks,
		phase.PreDelete: u.GetUninstall().DisableHooks, phase.PostDelete: u.GetUninstall().DisableHooks,
	} {
		hooks.Off[moment] = off
	}
	test := u.GetTest()
	if !test.Enable {
		return hooks
	}
	hooks.TestsMayFail = test.IgnoreFailures
	if remediation := u.Spec.Upgrade; remediation != nil && remediation.Remediation != nil {
		hooks.TestsMayFail = remediation.Remediation.MustIgnoreTestFailures(hooks.TestsMayFail)
	}
	hooks.Tests = func(name string) bool { return selected(test.GetFilters(), name) }
	return hooks
}

// selected tells whether a test runs: it is named, or no test is, and it is not excluded.
func selected(filters []helmv2.Filter, name string) bool {
	named, any := false, false
	for _, filter := range filters {
		switch {
		case filter.Exclude && filter.Name == name:
			return false
		case !filter.Exclude:
			any = true
			named = named || filter.Name == name
		}
	}
	return named || !any
}

// healthOf turns health expressions into the observer's form and checks that they compile.
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

func targetOf(wish *kustomize.Selector) apply.Target {
	if wish == nil {
		return apply.Target{}
	}
	return apply.Target{
		Group: wish.Group, Version: wish.Version, Kind: wish.Kind, Namespace: wish.Namespace, Name: wish.Name,
		LabelSelector: wish.LabelSelector, AnnotationSelector: wish.AnnotationSelector,
	}
}

// inputOf gathers what the chart is rendered with, but for the chart itself and the values.
func inputOf(u *helmv2.HelmRelease) chart.Input {
	input := chart.Input{
		Owner: ownerOf(u), Name: releaseName(u), Namespace: u.GetReleaseNamespace(), Strategy: chart.Strategy(u.Spec.PostRenderStrategy),
	}
	if common := u.Spec.CommonMetadata; common != nil {
		input.Labels, input.Annotations = common.Labels, common.Annotations
	}
	for _, one := range u.Spec.PostRenderers {
		if one.Kustomize == nil {
			continue
		}
		var renderer chart.PostRenderer
		for _, patch := range one.Kustomize.Patches {
			renderer.Patches = append(renderer.Patches, chart.Patch{Patch: patch.Patch, Target: selectorOf(patch.Target)})
		}
		for _, image := range one.Kustomize.Images {
			renderer.Images = append(renderer.Images, chart.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest})
		}
		input.PostRenderers = append(input.PostRenderers, renderer)
	}
	return input
}

func selectorOf(target *kustomize.Selector) *chart.Selector {
	if target == nil {
		return nil
	}
	return &chart.Selector{
		Group: target.Group, Version: target.Version, Kind: target.Kind, Namespace: target.Namespace, Name: target.Name,
		LabelSelector: target.LabelSelector, AnnotationSelector: target.AnnotationSelector,
	}
}

// policiesOf says what installs and upgrades do with definitions and schemas.
func policiesOf(u *helmv2.HelmRelease) (install, upgrade helm.Policies) {
	i, up := u.GetInstall(), u.GetUpgrade()
	install = helm.Policies{CRDs: chart.Create, SkipSchema: i.DisableSchemaValidation}
	upgrade = helm.Policies{CRDs: chart.Skip, SkipSchema: up.DisableSchemaValidation}
	if i.CRDs != "" {
		install.CRDs = chart.CRDPolicy(i.CRDs)
	}
	if i.SkipCRDs {
		install.CRDs = chart.Skip
	}
	if up.CRDs != "" {
		upgrade.CRDs = chart.CRDPolicy(up.CRDs)
	}
	return install, upgrade
}

// inventoryOf reads the inventory of a status.
func inventoryOf(status *helmv2.HelmReleaseStatus) []object.Ref {
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
func inventoryTo(refs []object.Ref) *helmv2.ResourceInventory {
	inventory := &helmv2.ResourceInventory{Entries: make([]helmv2.ResourceRef, len(refs))}
	for i, ref := range refs {
		inventory.Entries[i] = helmv2.ResourceRef{ID: ref.ID(), Version: ref.Version}
	}
	return inventory
}

// ownValues reads spec.values.
func ownValues(u *helmv2.HelmRelease) (map[string]any, error) {
	if u.Spec.Values == nil || len(u.Spec.Values.Raw) == 0 {
		return nil, nil
	}
	var values map[string]any
	if err := json.Unmarshal(u.Spec.Values.Raw, &values); err != nil {
		return nil, fault.Stall("ValuesError", fmt.Errorf("spec.values is not a map: %w", err))
	}
	return values, nil
}
