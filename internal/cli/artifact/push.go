package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/ignore"
	"holdfast.dev/holdfast/internal/stage/source/oci"
)

// The media types of Flux's artifacts.
const (
	configType types.MediaType = "application/vnd.cncf.flux.config.v1+json"
	layerType  types.MediaType = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

type push struct {
	registry
	path, source, revision string
	annotations, ignore    []string
	reproducible           bool
}

// run pushes and returns the artifact's name with its digest.
func (p *push) run(ctx context.Context, address string, now time.Time) (string, error) {
	reference, err := p.parse(address)
	if err != nil {
		return "", err
	}
	annotations, err := p.annotate(now)
	if err != nil {
		return "", err
	}
	packed, err := p.pack()
	if err != nil {
		return "", fmt.Errorf("packing %s: %w", p.path, err)
	}
	image, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), configType),
		mutate.Addendum{Layer: static.NewLayer(packed, layerType)})
	if err != nil {
		return "", fmt.Errorf("making the artifact: %w", err)
	}
	annotated, _ := mutate.Annotations(image, annotations).(v1.Image)
	digest, err := annotated.Digest()
	if err != nil {
		return "", fmt.Errorf("making the artifact: %w", err)
	}
	options, err := p.options(ctx, reference.Context())
	if err != nil {
		return "", err
	}
	if err := remote.Write(reference, annotated, options...); err != nil {
		return "", fmt.Errorf("pushing %s: %w", address, err)
	}
	return reference.String() + "@" + digest.String(), nil
}

func (p *push) annotate(now time.Time) (map[string]string, error) {
	if p.reproducible {
		now = time.Unix(0, 0)
	}
	all := map[string]string{}
	for _, pair := range p.annotations {
		key, value, found := strings.Cut(pair, "=")
		if !found {
			return nil, fmt.Errorf("reading --annotations: %q has the form KEY=VALUE", pair)
		}
		all[key] = value
	}
	all[oci.SourceKey], all[oci.RevisionKey], all[oci.CreatedKey] = p.source, p.revision, now.UTC().Format(time.RFC3339)
	return all, nil
}

// pack makes an archive that depends on nothing but the files in it.
func (p *push) pack() ([]byte, error) {
	info, err := os.Stat(p.path)
	if err != nil {
		return nil, err
	}
	folder, only := p.path, ""
	if !info.IsDir() {
		folder, only = filepath.Split(p.path)
		folder = filepath.Join(folder, ".")
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	entries, err := p.list(root, only)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errors.New("there are no files in it")
	}
	var out bytes.Buffer
	deflated := gzip.NewWriter(&out)
	archive := tar.NewWriter(deflated)
	for _, entry := range entries {
		content, err := root.ReadFile(filepath.FromSlash(entry.Path))
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: entry.Path, Size: int64(len(content)), Mode: int64(entry.Mode), Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(content); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(archive.Close(), deflated.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// list returns the regular files, in the order of their names, but for those that are ignored.
func (p *push) list(root *os.Root, only string) ([]tree.Entry, error) {
	var entries []tree.Entry
	err := fs.WalkDir(root.FS(), ".", func(name string, file fs.DirEntry, err error) error {
		if err != nil || !file.Type().IsRegular() || only != "" && name != only {
			return err
		}
		info, err := file.Info()
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		entries = append(entries, tree.Entry{Path: name, Size: info.Size(), Mode: mode})
		return nil
	})
	if err != nil || only != "" {
		return entries, err
	}
	var patterns *string
	if len(p.ignore) > 0 {
		joined := strings.Join(p.ignore, "\n")
		patterns = &joined
	}
	return ignore.Filter(entries, func(name string) ([]byte, error) { return root.ReadFile(filepath.FromSlash(name)) }, patterns)
}
