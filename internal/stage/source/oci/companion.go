package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// ErrNoCompanion says that a registry has nothing under a tag.
var ErrNoCompanion = errors.New("there is no such manifest")

// Name returns the artifact's name by its digest, "host/path@sha256:…".
func (f Found) Name() string { return f.reference().String() }

func (f Found) reference() name.Digest { return f.client.repository.Digest(f.Digest) }

// Describe returns the descriptor of the artifact's manifest.
func (f Found) Describe(ctx context.Context) (v1.Descriptor, error) {
	described, err := f.client.puller.Get(ctx, f.reference())
	if err != nil {
		return v1.Descriptor{}, f.plain(ctx, err)
	}
	return described.Descriptor, nil
}

// Tagged returns the manifest of a tag in the artifact's repository, where its signatures may be.
func (f Found) Tagged(ctx context.Context, tag string) (*v1.Manifest, error) {
	return f.companion(ctx, f.client.repository.Tag(tag))
}

// Manifest returns a manifest of the artifact's repository.
func (f Found) Manifest(ctx context.Context, digest v1.Hash) (*v1.Manifest, error) {
	return f.companion(ctx, f.client.repository.Digest(digest.String()))
}

func (f Found) companion(ctx context.Context, reference name.Reference) (*v1.Manifest, error) {
	described, err := f.client.puller.Get(ctx, reference)
	if statusOf(err) == http.StatusNotFound {
		return nil, ErrNoCompanion
	}
	if err != nil {
		return nil, f.plain(ctx, err)
	}
	if !isManifest(described.MediaType) {
		return nil, fmt.Errorf("%s has the media type %q, and is no manifest", reference.Identifier(), described.MediaType)
	}
	return v1.ParseManifest(bytes.NewReader(described.Manifest))
}

// Referring lists what refers to the artifact and has a type.
func (f Found) Referring(ctx context.Context, artifactType string) ([]v1.Descriptor, error) {
	index, err := remote.Referrers(f.reference(), remote.Reuse(f.client.puller), remote.WithContext(ctx), remote.WithFilter("artifactType", artifactType))
	if statusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, f.plain(ctx, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, f.plain(ctx, err)
	}
	var found []v1.Descriptor
	for _, one := range manifest.Manifests {
		if one.ArtifactType == artifactType { // a registry need not filter
			found = append(found, one)
		}
	}
	return found, nil
}

// Blob reads a small blob of the artifact's repository.
func (f Found) Blob(ctx context.Context, blob v1.Descriptor, limit int64) ([]byte, error) {
	if blob.Size > limit {
		return nil, fmt.Errorf("blob %s has %d bytes, more than the %d allowed", blob.Digest, blob.Size, limit)
	}
	var content bytes.Buffer
	if err := f.copyBlob(ctx, blob, &content, limit); err != nil {
		return nil, f.plain(ctx, err)
	}
	return content.Bytes(), nil
}

// Within bounds work with the artifact by the timeout of its request.
func (f Found) Within(ctx context.Context) (context.Context, context.CancelFunc) {
	return transport.Within(ctx, f.plan.Timeout)
}

// plain takes out of an error what must not be seen.
func (f Found) plain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
		err = cause
	}
	return &told{text: f.plan.scrub(err), cause: err}
}
