package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/tarball"
	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// Layer selects a layer of an artifact, and what is done with it.
type Layer struct {
	// MediaType is that of the layer; the first layer with it is taken, and the first of all where it is empty.
	MediaType string
	// Copy keeps the layer as it is; otherwise its files are what counts.
	Copy bool
}

// Content is what an artifact holds. Close releases it.
type Content struct {
	// Annotations are those of the manifest.
	Annotations map[string]string
	// Files are what the layer holds; nil where it is copied and is no archive.
	Files *tarball.Files

	blob, scratch *os.File
}

// Blob reads the layer as it came.
func (c *Content) Blob() (io.Reader, error) {
	_, err := c.blob.Seek(0, io.SeekStart)
	return c.blob, err
}

// Close releases the files.
func (c *Content) Close() error {
	var errs []error
	for _, file := range []*os.File{c.blob, c.scratch} {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}

// Pull gets the selected layer of an artifact that Resolve found.
func (f *Fetcher) Pull(ctx context.Context, found Found, layer Layer) (*Content, error) {
	ctx, cancel := transport.Within(ctx, found.plan.Timeout)
	defer cancel()
	manifest, err := found.manifest(ctx)
	if err != nil {
		return nil, f.explain(ctx, found.plan, found.client, reasonPull, fmt.Errorf("pulling %s: %w", found.Shown, err))
	}
	selected, err := layer.of(manifest)
	if err != nil {
		return nil, fault.Because(reasonLayer, fmt.Errorf("reading %s: %w", found.Shown, err))
	}
	content := &Content{Annotations: manifest.Annotations}
	if content.blob, err = f.download(ctx, found, selected); err != nil {
		_ = content.Close()
		return nil, f.explain(ctx, found.plan, found.client, reasonPull, fmt.Errorf("pulling layer %s of %s: %w", selected.Digest, found.Shown, err))
	}
	if err := f.unpack(ctx, content, layer); err != nil {
		_ = content.Close()
		return nil, fault.Because(reasonLayer, fmt.Errorf("extracting layer %s of %s: %w", selected.Digest, found.Shown, err))
	}
	return content, nil
}

// manifest gets the manifest by its digest. Of an index it is the manifest for Linux on amd64, as Flux takes.
func (f Found) manifest(ctx context.Context) (*v1.Manifest, error) {
	described, err := f.client.puller.Get(ctx, f.client.repository.Digest(f.Digest))
	if err != nil {
		return nil, err
	}
	raw := described.Manifest
	if described.MediaType.IsIndex() {
		image, err := described.Image()
		if err != nil {
			return nil, err
		}
		if raw, err = image.RawManifest(); err != nil {
			return nil, err
		}
	} else if !isManifest(described.MediaType) {
		return nil, fmt.Errorf("it has the media type %q, and is no manifest", described.MediaType)
	}
	return v1.ParseManifest(bytes.NewReader(raw))
}

func isManifest(kind types.MediaType) bool { return kind.IsImage() || kind == "" }

func (l Layer) of(manifest *v1.Manifest) (v1.Descriptor, error) {
	if len(manifest.Layers) == 0 {
		return v1.Descriptor{}, errors.New("it has no layers")
	}
	if l.MediaType == "" {
		return manifest.Layers[0], nil
	}
	for _, candidate := range manifest.Layers {
		if string(candidate.MediaType) == l.MediaType {
			return candidate, nil
		}
	}
	return v1.Descriptor{}, fmt.Errorf("it has no layer with media type '%s'", l.MediaType)
}

// download writes a layer to a scratch file. Its digest is checked on the way.
func (f *Fetcher) download(ctx context.Context, found Found, layer v1.Descriptor) (*os.File, error) {
	if layer.Size > f.options.MaxLayer {
		return nil, fmt.Errorf("it has %d bytes, more than the %d allowed", layer.Size, f.options.MaxLayer)
	}
	file, err := f.options.Scratch()
	if err != nil {
		return nil, err
	}
	if err := found.copyBlob(ctx, layer, file, f.options.MaxLayer); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	_, err = file.Seek(0, io.SeekStart)
	return file, err
}

func (f Found) copyBlob(ctx context.Context, blob v1.Descriptor, to io.Writer, limit int64) (err error) {
	// Asked for by digest alone: the addresses that a manifest may name for a layer are not followed.
	layer, err := f.client.puller.Layer(ctx, f.client.repository.Digest(blob.Digest.String()))
	if err != nil {
		return err
	}
	content, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	read, err := io.Copy(to, io.LimitReader(content, limit+1))
	if err != nil {
		return err
	}
	if read > limit {
		return fmt.Errorf("it has more than the %d bytes allowed", limit)
	}
	if blob.Size > 0 && read != blob.Size {
		return fmt.Errorf("it has %d bytes, and the manifest says %d", read, blob.Size)
	}
	return nil
}

// unpack lists the files of a layer. One that is only copied need not be an archive.
func (f *Fetcher) unpack(ctx context.Context, content *Content, layer Layer) error {
	var err error
	if content.scratch, err = f.options.Scratch(); err != nil {
		return err
	}
	files, err := tarball.Unpack(ctx, content.blob, content.scratch, tarball.Limits{Content: f.options.MaxContent, Files: f.options.MaxFiles})
	if err != nil && !layer.Copy {
		return err
	}
	if err == nil {
		content.Files = files
	}
	return nil
}
