package delivery

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/release"
	"holdfast.dev/holdfast/internal/model/revision"
)

// ReasonAccessDenied says that a unit names what it may not see.
const ReasonAccessDenied = "AccessDenied"

// originRevisionKey is where an OCI artifact says which revision it was made of.
const originRevisionKey = "org.opencontainers.image.revision"

// SourceKinds makes an empty object of each kind that has an artifact.
func SourceKinds() map[string]func() client.Object {
	return map[string]func() client.Object{
		sourcev1.GitRepositoryKind:    func() client.Object { return &sourcev1.GitRepository{} },
		sourcev1.OCIRepositoryKind:    func() client.Object { return &sourcev1.OCIRepository{} },
		sourcev1.BucketKind:           func() client.Object { return &sourcev1.Bucket{} },
		sourcev1.HelmChartKind:        func() client.Object { return &sourcev1.HelmChart{} },
		sourcev1.ExternalArtifactKind: func() client.Object { return &sourcev1.ExternalArtifact{} },
	}
}

// Source names a source, and how a message does.
type Source struct {
	Kind string
	types.NamespacedName
	Text string
}

// Artifact finds what a source has to offer. The source's own readiness does not matter: one that fails
// keeps serving its last artifact (flux-contract 3.1).
func Artifact(ctx context.Context, c client.Reader, wanted Source) (*meta.Artifact, error) {
	empty, known := SourceKinds()[wanted.Kind]
	if !known {
		return nil, fault.Stall(meta.ArtifactFailedReason, fmt.Errorf("source `%s` kind '%s' not supported", wanted.Name, wanted.Kind))
	}
	source := empty()
	if err := c.Get(ctx, wanted.NamespacedName, source); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fault.Wait(meta.ArtifactFailedReason, 0, fmt.Errorf("Source '%s' not found", wanted.Text)) //nolint:staticcheck // Flux's text
		}
		return nil, fault.Because(meta.ArtifactFailedReason, fmt.Errorf("reading source '%s': %w", wanted.NamespacedName, err))
	}
	found := source.(sourcev1.Source).GetArtifact() //nolint:forcetypeassert // all of SourceKinds are sources
	if found == nil {
		return nil, fault.Wait(meta.ArtifactFailedReason, 0, fmt.Errorf("Source artifact not found, waiting for %s/%s", wanted.Kind, wanted.NamespacedName)) //nolint:staticcheck // Flux's text
	}
	return found, nil
}

// OriginRevision tells which revision an artifact was made of, where it says so.
func OriginRevision(artifact *meta.Artifact) string { return artifact.Metadata[originRevisionKey] }

// LabelOf says what Git calls an artifact.
func LabelOf(artifact *meta.Artifact) release.Label {
	return release.Label{
		Revision: artifact.Revision, Origin: OriginRevision(artifact),
		Author: artifact.Metadata[revision.AuthorKey], Title: artifact.Metadata[revision.TitleKey],
	}
}
