package kustomization

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/render"
)

// variableName is what a variable may be called (flux-contract 2.7).
var variableName = regexp.MustCompile(`^[_[:alpha:]][_[:alpha:][:digit:]]*$`)

// variables gathers the values for substitution. The objects are followed by watches, so nothing is
// read twice and a change of any of them wakes the unit.
func (r *reconciler) variables(ctx context.Context, u *kustomizev1.Kustomization) (render.Variables, error) {
	variables, err := Variables(u, func(reference kustomizev1.SubstituteReference) (*unstructured.Unstructured, error) {
		return r.substitute(ctx, u, reference)
	})
	variables.Lenient = r.LenientSubstitutions
	return variables, fault.Because(meta.BuildFailedReason, err)
}

// substitute reads a ConfigMap or Secret that a unit substitutes from. One that is missing and may be
// is nil.
func (r *reconciler) substitute(ctx context.Context, u *kustomizev1.Kustomization, reference kustomizev1.SubstituteReference) (*unstructured.Unstructured, error) {
	held, err := r.Follower.Get(ctx, delivery.ConfigRef(u.Namespace, reference.Kind, reference.Name))
	switch {
	case err != nil:
		return nil, fmt.Errorf("substitute from '%s/%s': %w", reference.Kind, reference.Name, err)
	case held == nil && !reference.Optional:
		return nil, fault.Wait(meta.BuildFailedReason, 0, fmt.Errorf(
			"substitute from '%s/%s' error: %s \"%s\" not found in namespace %s; create it, or mark the reference as optional",
			reference.Kind, reference.Name, strings.ToLower(reference.Kind)+"s", reference.Name, u.Namespace))
	default:
		return held, nil
	}
}

// take adds the values of a ConfigMap or Secret. No value ever gets into an error.
func take(variables *render.Variables, held *unstructured.Unstructured, secret bool) error {
	data, _, err := unstructured.NestedStringMap(held.Object, "data")
	if err != nil {
		return errors.New("its data is not a map of strings")
	}
	for name, value := range data {
		if !variableName.MatchString(name) {
			return fmt.Errorf("its key '%s' is not a variable name, it must match '%s'", name, variableName)
		}
		if secret {
			plain, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return fmt.Errorf("its key '%s' is not valid base64", name)
			}
			value = string(plain)
		}
		variables.Values[name] = strings.ReplaceAll(value, "\n", "")
		delete(variables.Secret, name)
		if secret {
			variables.Secret[name] = true
		}
	}
	return nil
}

// configRefs returns the ConfigMaps and Secrets that a unit reads.
func (o Options) configRefs(u *kustomizev1.Kustomization) []object.Ref {
	var refs []object.Ref
	if keys, _, found := o.keysRef(u); found {
		refs = append(refs, keys)
	}
	if u.Spec.Decryption != nil && o.VaultConfigMap.Name != "" {
		refs = append(refs, o.vaultsRef())
	}
	if u.Spec.PostBuild != nil {
		for _, reference := range u.Spec.PostBuild.SubstituteFrom {
			refs = append(refs, delivery.ConfigRef(u.Namespace, reference.Kind, reference.Name))
		}
	}
	return append(refs, delivery.KubeConfigRefs(u.Namespace, u.Spec.KubeConfig)...)
}
