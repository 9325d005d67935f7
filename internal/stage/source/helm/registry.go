package helm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	registry "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"holdfast.dev/holdfast/internal/stage/source/helm/index"
	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// The media types of a chart in a registry.
const (
	chartLayer    = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	oldChartLayer = "application/tar+gzip"
)

const maxTags = 20_000

// Resolve finds the newest version of a chart in a registry that a constraint allows, and the digest of its
// manifest.
func (c *Client) Resolve(ctx context.Context, from Remote, chart, wanted string) (version, digest string, err error) {
	ctx, cancel := from.within(ctx)
	defer cancel()
	repository, options, err := c.registry(ctx, from, chart)
	if err != nil {
		return "", "", err
	}
	if _, err := semver.StrictNewVersion(wanted); err == nil { // one look instead of a list that may be long
		if head, err := remote.Head(tagOf(repository, wanted), options...); err == nil {
			return wanted, head.Digest.String(), nil
		}
	}
	tags, err := remote.List(repository, options...)
	if err != nil {
		return "", "", fmt.Errorf("listing versions of %s: %w", repository, refused(err))
	}
	if len(tags) > maxTags {
		return "", "", fmt.Errorf("listing versions of %s: there are more than %d", repository, maxTags)
	}
	for i, tag := range tags {
		tags[i] = strings.ReplaceAll(tag, "_", "+")
	}
	version, err = index.Newest(tags, wanted)
	if err != nil {
		return "", "", fmt.Errorf("chart %s: %w", repository, err)
	}
	head, err := remote.Head(tagOf(repository, version), options...)
	if err != nil {
		return "", "", fmt.Errorf("looking at %s:%s: %w", repository, version, refused(err))
	}
	return version, head.Digest.String(), nil
}

// tagOf returns the tag of a version: a tag cannot hold the plus of build metadata.
func tagOf(repository name.Repository, version string) name.Tag {
	return repository.Tag(strings.ReplaceAll(version, "+", "_"))
}

// Pull fetches the chart with a manifest's digest.
func (c *Client) Pull(ctx context.Context, from Remote, chart, digest string) ([]byte, error) {
	ctx, cancel := from.within(ctx)
	defer cancel()
	repository, options, err := c.registry(ctx, from, chart)
	if err != nil {
		return nil, err
	}
	image, err := remote.Image(repository.Digest(digest), options...)
	if err != nil {
		return nil, fmt.Errorf("pulling %s@%s: %w", repository, digest, refused(err))
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, fmt.Errorf("pulling %s@%s: %w", repository, digest, err)
	}
	for _, layer := range layers {
		kind, err := layer.MediaType()
		if err != nil || string(kind) != chartLayer && string(kind) != oldChartLayer {
			continue
		}
		content, err := layer.Compressed() // its digest is checked while it is read
		if err != nil {
			return nil, fmt.Errorf("pulling %s@%s: %w", repository, digest, refused(err))
		}
		defer func() { _ = content.Close() }()
		packed, err := io.ReadAll(io.LimitReader(content, maxChart+1))
		if err == nil && len(packed) > maxChart {
			err = fmt.Errorf("the chart has more than %d bytes", maxChart)
		}
		if err != nil {
			return nil, fmt.Errorf("pulling %s@%s: %w", repository, digest, refused(err))
		}
		return packed, nil
	}
	return nil, fmt.Errorf("pulling %s@%s: it holds no Helm chart", repository, digest)
}

// registry returns the repository of a chart, and how to talk to it.
func (c *Client) registry(ctx context.Context, from Remote, chart string) (name.Repository, []remote.Option, error) {
	var strict []name.Option
	if from.Insecure {
		strict = append(strict, name.Insecure)
	}
	address := strings.TrimSuffix(strings.TrimPrefix(from.URL, "oci://"), "/")
	if chart != "" {
		address += "/" + chart
	}
	repository, err := name.NewRepository(address, append(strict, name.StrictValidation)...)
	if err != nil {
		return name.Repository{}, nil, fmt.Errorf("%w: %q names no repository of a registry", ErrAddress, address)
	}
	carrier, err := c.Pool.Get(transport.Options{
		Host: repository.RegistryStr(), Certificates: from.Certificates, Proxy: from.Proxy, SystemRoots: true, Plain: from.Insecure,
	})
	if err != nil {
		return name.Repository{}, nil, err
	}
	login := authn.Anonymous
	if from.Username != "" {
		login = &authn.Basic{Username: from.Username.Reveal(), Password: from.Password.Reveal()}
	}
	return repository, []remote.Option{
		remote.WithContext(ctx), remote.WithAuth(login), remote.WithTransport(carrier), remote.WithUserAgent(c.Agent),
	}, nil
}

// refused tells what a registry said, without addresses, which may carry tokens.
func refused(err error) error {
	var answer *registry.Error
	if !errors.As(err, &answer) {
		return bare(err)
	}
	codes := make([]string, 0, len(answer.Errors))
	for _, one := range answer.Errors {
		codes = append(codes, string(one.Code))
	}
	said := fmt.Errorf("the registry answers %d %s %s", answer.StatusCode, http.StatusText(answer.StatusCode), strings.Join(codes, " "))
	if answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%w: %w", ErrAuthentication, said)
	}
	return said
}
