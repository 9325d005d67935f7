package kustomization

import (
	"context"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/pipeline"
)

// heirs returns a function that tells which objects, of those that this unit gives up, other units of
// the same source want at the same revision. They are not deleted: people move objects between units
// in one commit, and whichever unit comes first, nothing of that may interrupt what runs. It builds the
// other units, which they would have done themselves a moment later, and costs nothing where nothing
// is given up.
func (v *visit) heirs(files tree.Tree) func(context.Context, []object.Ref) map[object.Ref]bool {
	return func(ctx context.Context, stale []object.Ref) map[object.Ref]bool {
		lost := make(map[object.Ref]bool, len(stale))
		for _, ref := range stale {
			lost[ref.Key()] = true
		}
		found := map[object.Ref]bool{}
		for _, other := range v.siblings(ctx) {
			input := renderOf(other)
			input.Tree = files
			var err error
			if input.Variables, err = v.variables(ctx, other); err != nil {
				continue // it is not going to apply anything
			}
			if input.Opener, err = v.opener(ctx, other); err != nil {
				continue
			}
			wanted, err := pipeline.Wants(ctx, built{v.Renderer, input})
			if err != nil {
				continue
			}
			for _, ref := range wanted {
				key := ref.Key()
				if bare := key; !lost[key] {
					bare.Namespace = "" // a transformer may have given one to an object that has none
					key = bare
				}
				if lost[key] {
					found[key] = true
				}
			}
		}
		return found
	}
}

// siblings returns the units that read the same source, deliver to the same cluster and are at work.
func (v *visit) siblings(ctx context.Context) []*kustomizev1.Kustomization {
	var list kustomizev1.KustomizationList
	key := delivery.InputKey(v.unit.Spec.SourceRef.Kind, sourceName(v.unit))
	if err := v.Client.List(ctx, &list, client.MatchingFields{inputsIndex: key}); err != nil {
		return nil
	}
	var found []*kustomizev1.Kustomization
	for i := range list.Items {
		other := &list.Items[i]
		config := other.Spec.KubeConfig
		same := apiequality.Semantic.DeepEqual(config, v.unit.Spec.KubeConfig) && (config == nil || other.Namespace == v.unit.Namespace)
		if same && nameOf(other) != nameOf(v.unit) && !other.Spec.Suspend && other.DeletionTimestamp.IsZero() &&
			sourceName(other) == sourceName(v.unit) && other.Spec.SourceRef.Kind == v.unit.Spec.SourceRef.Kind {
			found = append(found, other)
		}
	}
	return found
}
