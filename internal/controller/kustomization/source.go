package kustomization

import (
	"context"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/model/fault"
)

// sourceName returns the name of a unit's source.
func sourceName(u *kustomizev1.Kustomization) types.NamespacedName {
	namespace := u.Spec.SourceRef.Namespace
	if namespace == "" {
		namespace = u.Namespace
	}
	return types.NamespacedName{Namespace: namespace, Name: u.Spec.SourceRef.Name}
}

// artifact finds what the unit's source has to offer.
func (r *reconciler) artifact(ctx context.Context, u *kustomizev1.Kustomization) (*meta.Artifact, error) {
	name := sourceName(u)
	kind := u.Spec.SourceRef.Kind
	if r.NoCrossNamespaceRefs && name.Namespace != u.Namespace {
		return nil, fault.Stall(delivery.ReasonAccessDenied, fmt.Errorf(
			"can't access '%s/%s', cross-namespace references have been blocked", kind, name))
	}
	if kind == sourcev1.HelmChartKind { // its files are no manifests
		return nil, fault.Stall(meta.ArtifactFailedReason, fmt.Errorf("source `%s` kind '%s' not supported", name.Name, kind))
	}
	return delivery.Artifact(ctx, r.Client, delivery.Source{Kind: kind, NamespacedName: name, Text: u.Spec.SourceRef.String()})
}
