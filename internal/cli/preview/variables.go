package preview

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/controller/kustomization"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render"
)

// learn remembers the ConfigMaps and Secrets among objects: units may take variables from them.
func (w *walk) learn(objects []object.Object) {
	for _, o := range objects {
		if o.Group != "" || o.Kind != "ConfigMap" && o.Kind != "Secret" {
			continue
		}
		if u, err := o.Decode(); err == nil {
			w.configs[o.Key()] = u
		}
	}
}

// missing returns the required ConfigMaps and Secrets of a unit that the tree does not hold, as far
// as it is built, or holds encrypted.
func (w *walk) missing(one *kustomizev1.Kustomization) []string {
	if one.Spec.PostBuild == nil {
		return nil
	}
	var missing []string
	for _, wish := range one.Spec.PostBuild.SubstituteFrom {
		held := w.configs[configRef(one, wish)]
		switch {
		case held == nil && !wish.Optional:
			missing = append(missing, fmt.Sprintf("%s %s/%s is not in the tree", wish.Kind, one.Namespace, wish.Name))
		case held != nil && encrypted(held):
			missing = append(missing, fmt.Sprintf("%s %s/%s is encrypted", wish.Kind, one.Namespace, wish.Name))
		}
	}
	return missing
}

func configRef(one *kustomizev1.Kustomization, wish kustomizev1.SubstituteReference) object.Ref {
	return object.Ref{Kind: wish.Kind, Namespace: one.Namespace, Name: wish.Name}
}

// encryptedValue is how SOPS begins a value that it encrypted.
const encryptedValue = "ENC[AES256_GCM,"

// encrypted tells whether SOPS encrypted values of an object. It looks at the values themselves: what
// SOPS adds beside them does not survive an object's normal form.
func encrypted(u *unstructured.Unstructured) bool {
	data, _, _ := unstructured.NestedStringMap(u.Object, "data")
	for _, value := range data {
		if plain, err := base64.StdEncoding.DecodeString(value); err == nil && u.GetKind() == "Secret" {
			value = string(plain)
		}
		if strings.HasPrefix(value, encryptedValue) {
			return true
		}
	}
	return false
}

// render builds a unit with the variables that are at hand. What it cannot build is a finding.
func (w *walk) render(ctx context.Context, one *kustomizev1.Kustomization, files tree.Tree) (render.Output, []string, *Finding) {
	missing := w.missing(one)
	if len(missing) > 0 && !w.AllowMissing {
		return render.Output{}, nil, &Finding{
			Class: Unknown,
			Text:  "its variables cannot be known: " + strings.Join(missing, ", "),
			Hint:  "add it to the tree, or build with placeholders: --allow-missing",
		}
	}
	input := w.inputOf(one, files)
	var err error
	if input.Variables, err = w.variables(one); err != nil {
		return render.Output{}, nil, &Finding{Class: Broken, Text: err.Error()}
	}
	output, err := w.Renderer.Render(ctx, input)
	if err == nil && len(missing) == 0 {
		return output, nil, nil
	}
	if !w.AllowMissing {
		return render.Output{}, nil, &Finding{Class: Broken, Text: err.Error()}
	}
	placeholders, err := w.fill(ctx, &input)
	if err == nil {
		output, err = w.Renderer.Render(ctx, input)
	}
	if err != nil {
		return render.Output{}, nil, &Finding{Class: Broken, Text: err.Error()}
	}
	return output, placeholders, nil
}

// variables gathers the values for substitution as the controller does, from what the tree holds.
func (w *walk) variables(one *kustomizev1.Kustomization) (render.Variables, error) {
	return kustomization.Variables(one, func(wish kustomizev1.SubstituteReference) (*unstructured.Unstructured, error) {
		held := w.configs[configRef(one, wish)]
		if held != nil && encrypted(held) {
			return nil, nil
		}
		return held, nil
	})
}
