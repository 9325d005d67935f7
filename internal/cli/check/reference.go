package check

import (
	"encoding/json"

	"holdfast.dev/holdfast/internal/cli/preview"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
)

// RuleReference is of units that refer to what the tree does not hold.
const RuleReference = "reference/missing"

// reference is one object naming another.
type reference struct {
	Kind, Namespace, Name string
	Optional              bool
}

// release is what is read of a HelmRelease.
type release struct {
	Spec struct {
		Chart struct {
			Spec struct{ SourceRef reference }
		}
		ChartRef   *reference
		ValuesFrom []reference
		DependsOn  []reference
		KubeConfig json.RawMessage
	}
}

// references finds HelmReleases that refer to sources, values or releases which nothing in the environment
// brings. What Kustomizations refer to, the build has found out already.
func references(units []preview.Unit) []finding.Finding {
	there := map[object.Ref]bool{}
	for _, unit := range units {
		for _, one := range unit.Objects {
			there[object.Ref{Kind: one.Kind, Namespace: one.Namespace, Name: one.Name}] = true
		}
	}
	var found []finding.Finding
	for _, unit := range units {
		for _, one := range unit.Objects {
			if one.Kind != "HelmRelease" || one.Group != "helm.toolkit.fluxcd.io" {
				continue
			}
			found = append(found, missingOf(unit, one, there)...)
		}
	}
	return found
}

func missingOf(unit preview.Unit, one object.Object, there map[object.Ref]bool) []finding.Finding {
	var wanted release
	if json.Unmarshal(one.JSON, &wanted) != nil {
		return nil // its schema says why
	}
	var found []finding.Finding
	look := func(to reference, path, advice string) {
		ref := object.Ref{Kind: to.Kind, Namespace: to.Namespace, Name: to.Name}
		if ref.Namespace == "" {
			ref.Namespace = one.Namespace
		}
		if ref.Name == "" || to.Optional || there[ref] {
			return
		}
		found = append(found, finding.Finding{
			Rule: RuleReference, Severity: finding.Warning, Unit: unit.Owner.String(), Ref: one.Ref, Path: path, File: one.Source,
			Message: "refers to " + ref.String() + ", which the tree does not deliver here", Advice: advice,
		})
	}
	look(wanted.Spec.Chart.Spec.SourceRef, "spec.chart.spec.sourceRef", "add the source, or correct its name")
	if wanted.Spec.ChartRef != nil {
		look(*wanted.Spec.ChartRef, "spec.chartRef", "add the source, or correct its name")
	}
	for _, to := range wanted.Spec.ValuesFrom {
		look(to, "spec.valuesFrom", "add it to the tree, or say optional: true where it comes from elsewhere")
	}
	for _, to := range wanted.Spec.DependsOn {
		to.Kind = one.Kind
		look(to, "spec.dependsOn", "add the release, or take the dependency away")
	}
	return found
}
