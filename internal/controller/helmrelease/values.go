package helmrelease

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/render/chart/values"
)

const reasonValues = "ValuesError"

// values puts the unit's values together. The objects that they come from are followed by watches, so
// nothing is read twice and a change of any of them wakes the unit.
func (v *visit) values(ctx context.Context) (values.Merged, error) {
	references := make([]values.Reference, 0, len(v.unit.Spec.ValuesFrom))
	for _, wish := range v.unit.Spec.ValuesFrom {
		one, err := v.reference(ctx, wish)
		if err != nil {
			return values.Merged{}, fault.Because(reasonValues, err)
		}
		references = append(references, one)
	}
	own, err := ownValues(v.unit)
	if err != nil {
		return values.Merged{}, err
	}
	merged, err := values.Merge(references, own)
	switch {
	case errors.Is(err, values.ErrMissing): // it is followed, and wakes the unit when it is there
		return merged, fault.Wait(reasonValues, 0, fmt.Errorf("could not resolve %w", err))
	case err != nil:
		return merged, fault.Because(reasonValues, fmt.Errorf("could not resolve %w", err))
	}
	return merged, nil
}

// reference reads one entry of valuesFrom.
func (v *visit) reference(ctx context.Context, wish helmv2.ValuesReference) (values.Reference, error) {
	one := values.Reference{
		Kind: wish.Kind, Namespace: v.unit.Namespace, Name: wish.Name, Key: cmp.Or(wish.ValuesKey, values.DefaultKey),
		TargetPath: wish.TargetPath, Optional: wish.Optional, Literal: wish.Literal,
	}
	held, err := v.Follower.Get(ctx, delivery.ConfigRef(v.unit.Namespace, wish.Kind, wish.Name))
	if err != nil {
		return one, fmt.Errorf("reading values of %s '%s/%s': %w", wish.Kind, v.unit.Namespace, wish.Name, err)
	}
	if held == nil {
		one.Missing = "resource not found"
		return one, nil
	}
	text, found, _ := unstructured.NestedString(held.Object, "data", one.Key)
	if !found {
		one.Missing = "key not found"
		return one, nil
	}
	one.Data = []byte(text)
	if wish.Kind == "Secret" {
		if one.Data, err = base64.StdEncoding.DecodeString(text); err != nil {
			return one, fmt.Errorf("reading values of Secret '%s/%s': key '%s' is not valid base64", v.unit.Namespace, wish.Name, one.Key)
		}
	}
	return one, nil
}

// configRefs returns the ConfigMaps and Secrets that a unit reads.
func configRefs(u *helmv2.HelmRelease) []object.Ref {
	refs := delivery.KubeConfigRefs(u.Namespace, u.Spec.KubeConfig)
	for _, wish := range u.Spec.ValuesFrom {
		refs = append(refs, delivery.ConfigRef(u.Namespace, wish.Kind, wish.Name))
	}
	return refs
}
