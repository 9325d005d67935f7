package preview

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/controller/kustomization"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render"
)

func isKustomization(gk schema.GroupKind) bool {
	return gk.Group == kustomizev1.GroupVersion.Group && gk.Kind == kustomizev1.KustomizationKind
}

func decode(u *unstructured.Unstructured) (*kustomizev1.Kustomization, error) {
	raw, err := json.Marshal(u.Object)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", object.RefOf(u), err)
	}
	return decodeJSON(object.RefOf(u), raw)
}

func decodeObject(o object.Object) (*kustomizev1.Kustomization, error) {
	return decodeJSON(o.Ref, o.JSON)
}

func decodeJSON(ref object.Ref, raw []byte) (*kustomizev1.Kustomization, error) {
	one := &kustomizev1.Kustomization{}
	if err := json.Unmarshal(raw, one); err != nil {
		return nil, fmt.Errorf("reading %s: %w", ref, err)
	}
	return one, nil
}

// kustomizationsIn returns the Kustomizations that can be read; the others are found later.
func kustomizationsIn(objects []object.Object) []*kustomizev1.Kustomization {
	var found []*kustomizev1.Kustomization
	for _, o := range objects {
		if !isKustomization(o.GVK().GroupKind()) {
			continue
		}
		if one, err := decodeObject(o); err == nil {
			found = append(found, one)
		}
	}
	return found
}

func sourceOf(one *kustomizev1.Kustomization) Source {
	ref := one.Spec.SourceRef
	return Source{Kind: ref.Kind, Namespace: cmp.Or(ref.Namespace, one.Namespace), Name: ref.Name}
}

func dependenciesOf(one *kustomizev1.Kustomization) []object.Owner {
	owners := make([]object.Owner, len(one.Spec.DependsOn))
	for i, wish := range one.Spec.DependsOn {
		owners[i] = object.Owner{Namespace: cmp.Or(wish.Namespace, one.Namespace), Name: wish.Name}
	}
	return owners
}

// homeOf tells which of the sources that Kustomizations name is the repository itself. Nothing in a
// tree says so; the signs are, from the best to the least: the source of the unit that delivers the
// start path, the source with bootstrap's name, and the source that most of the units name.
func homeOf(found []*kustomizev1.Kustomization, start string) Source {
	counts := map[Source]int{}
	for _, one := range found {
		source := sourceOf(one)
		if tree.Clean(one.Spec.Path) == tree.Clean(start) && start != "" && one.Spec.KubeConfig == nil {
			return source
		}
		counts[source]++
		if source.Name == RootName && source.Namespace == RootName {
			counts[source] += len(found)
		}
	}
	sources := make([]Source, 0, len(counts))
	for source := range counts {
		sources = append(sources, source)
	}
	slices.SortFunc(sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.String(), b.String()))
	})
	if len(sources) == 0 {
		return Source{Kind: "GitRepository", Namespace: RootName, Name: RootName}
	}
	return sources[0]
}

// inputOf says what the build of a unit is told, as the controller says it.
func (w *walk) inputOf(one *kustomizev1.Kustomization, files tree.Tree) render.Input {
	input := kustomization.Input(one)
	input.Tree = files
	input.KeepEncrypted = true // what the tree holds is what is shown
	if w.Opener != nil && one.Spec.Decryption != nil {
		input.Opener = lenient{w.Opener}
	}
	return input
}
