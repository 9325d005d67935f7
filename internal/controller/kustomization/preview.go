package kustomization

import (
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/stage/render"
)

// Input says what the build of a Kustomization is told, without its tree and its variables. Those who
// build without a cluster use it, so that they build what the controller builds.
func Input(u *kustomizev1.Kustomization) render.Input { return renderOf(u) }

// Variables gathers the values for substitution from the ConfigMaps and Secrets that find returns, in
// their order, later ones winning, and then from the Kustomization itself. What find does not find,
// nil without an error, is left out. The controller gathers them by it as well.
func Variables(u *kustomizev1.Kustomization, find func(kustomizev1.SubstituteReference) (*unstructured.Unstructured, error)) (render.Variables, error) {
	if u.Spec.PostBuild == nil {
		return render.Variables{}, nil
	}
	variables := render.Variables{
		Enabled: true,
		Always:  u.GetSubstituteStrategy() == kustomizev1.SubstituteStrategyAlways,
		Values:  map[string]string{}, Secret: map[string]bool{},
	}
	for _, reference := range u.Spec.PostBuild.SubstituteFrom {
		held, err := find(reference)
		if err != nil {
			return render.Variables{}, err
		}
		if held == nil {
			continue
		}
		if err := take(&variables, held, reference.Kind == "Secret"); err != nil {
			return render.Variables{}, fmt.Errorf("substitute from '%s/%s': %w", reference.Kind, reference.Name, err)
		}
	}
	for name, value := range u.Spec.PostBuild.Substitute {
		if !variableName.MatchString(name) {
			return render.Variables{}, fmt.Errorf("postBuild.substitute: '%s' is not a variable name, it must match '%s'", name, variableName)
		}
		variables.Values[name] = strings.ReplaceAll(value, "\n", "")
		delete(variables.Secret, name)
	}
	return variables, nil
}
