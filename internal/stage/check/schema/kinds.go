package schema

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
)

var _ check.Kinds = (*Judge)(nil)

// Map implements check.Kinds by what is built in: for sets without a cluster.
func (j *Judge) Map(_ context.Context, ref object.Ref) (kube.Mapping, error) {
	from, err := j.library.Load(j.version)
	if err != nil {
		return kube.Mapping{}, err
	}
	kind, found := from.Find(ref.GVK())
	if !found {
		return kube.Mapping{}, &meta.NoKindMatchError{GroupKind: ref.GVK().GroupKind(), SearchedVersions: []string{ref.Version}}
	}
	return kube.Mapping{
		Resource:   ref.GVK().GroupVersion().WithResource(kind.Resource),
		Namespaced: kind.Namespaced,
	}, nil
}
