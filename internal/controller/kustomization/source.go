package kustomization

import (
	"context"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/model/fault"
)

// reasonAccessDenied says that a unit names what it may not see.
const reasonAccessDenied = "AccessDenied"

// originRevisionKey is where an OCI artifact says which revision it was made of.
const originRevisionKey = "org.opencontainers.image.revision"

// sourceName returns the name of a unit's source.
func sourceName(u *kustomizev1.Kustomization) types.NamespacedName {
	namespace := u.Spec.SourceRef.Namespace
	if namespace == "" {
		namespace = u.Namespace
	}
	return types.NamespacedName{Namespace: namespace, Name: u.Spec.SourceRef.Name}
}

// sourceKinds makes an empty object of each kind that can be a unit's source.
var sourceKinds = map[string]func() client.Object{
	sourcev1.GitRepositoryKind:    func() client.Object { return &sourcev1.GitRepository{} },
	sourcev1.OCIRepositoryKind:    func() client.Object { return &sourcev1.OCIRepository{} },
	sourcev1.BucketKind:           func() client.Object { return &sourcev1.Bucket{} },
	sourcev1.ExternalArtifactKind: func() client.Object { return &sourcev1.ExternalArtifact{} },
}

// artifact finds what the unit's source has to offer. The source's own readiness does not matter:
// one that fails keeps serving its last artifact (flux-contract 3.1).
func (r *reconciler) artifact(ctx context.Context, u *kustomizev1.Kustomization) (*meta.Artifact, error) {
	name := sourceName(u)
	kind := u.Spec.SourceRef.Kind
	if r.NoCrossNamespaceRefs && name.Namespace != u.Namespace {
		return nil, fault.Stall(reasonAccessDenied, fmt.Errorf(
			"can't access '%s/%s', cross-namespace references have been blocked", kind, name))
	}
	empty, known := sourceKinds[kind]
	if !known {
		return nil, fault.Stall(meta.ArtifactFailedReason, fmt.Errorf("source `%s` kind '%s' not supported", name.Name, kind))
	}
	source := empty()
	if err := r.Client.Get(ctx, name, source); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fault.Wait(meta.ArtifactFailedReason, 0, fmt.Errorf("Source '%s' not found", u.Spec.SourceRef.String())) //nolint:staticcheck // Flux's text
		}
		return nil, fault.Because(meta.ArtifactFailedReason, fmt.Errorf("reading source '%s': %w", name, err))
	}
	found := source.(sourcev1.Source).GetArtifact() //nolint:forcetypeassert // all of sourceKinds are sources
	if found == nil {
		return nil, fault.Wait(meta.ArtifactFailedReason, 0, fmt.Errorf("Source artifact not found, waiting for %s/%s", kind, name)) //nolint:staticcheck // Flux's text
	}
	return found, nil
}

// originRevision tells which revision the artifact was made of, where it says so.
func originRevision(artifact *meta.Artifact) string { return artifact.Metadata[originRevisionKey] }
