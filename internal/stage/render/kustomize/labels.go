package kustomize

import (
	"slices"

	"sigs.k8s.io/kustomize/api/types"
)

// modernLabels moves common labels to their new place. Kustomize adds them after all other labels,
// to the fields of selectors, and where there are no configurations, as in a build that is taken
// apart, no field belongs to only the old or the new name.
func modernLabels(k *types.Kustomization) {
	if len(k.CommonLabels) > 0 {
		k.Labels = append(slices.Clone(k.Labels), types.Label{Pairs: k.CommonLabels, IncludeSelectors: true})
	}
	k.CommonLabels = nil
}
