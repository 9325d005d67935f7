package helm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/source/helm/index"
	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// What a remote may send.
const (
	maxChart = 100 << 20
	maxError = 4 << 10
)

// Remote is a repository of charts. The zero value of a field is nothing.
type Remote struct {
	// URL is http, https or oci.
	URL                string
	Username, Password redact.Text
	Certificates       transport.Certificates
	Proxy              transport.Proxy
	// PassCredentials sends the credentials to other hosts, too, where the index names them.
	PassCredentials bool
	// Insecure speaks http with a registry.
	Insecure bool
	Timeout  time.Duration
}

const defaultTimeout = time.Minute

// OCI tells whether the remote is a registry.
func (r Remote) OCI() bool { return strings.HasPrefix(r.URL, "oci://") }

func (r Remote) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.Timeout <= 0 {
		r.Timeout = defaultTimeout
	}
	return transport.Within(ctx, r.Timeout)
}

// The kinds of failure that conditions tell apart.
var (
	// ErrAuthentication says that the remote did not accept the credentials.
	ErrAuthentication = errors.New("authentication failed")
	// ErrAddress says that an address cannot be used.
	ErrAddress = errors.New("invalid address")
)

// Client talks to remotes. It is safe for concurrent use.
type Client struct {
	// Pool keeps connections; it must not be nil.
	Pool *transport.Pool
	// Agent names us to servers.
	Agent string
}

// found is what was asked for, or that it did not change.
type found struct {
	body      io.ReadCloser
	etag      string
	unchanged bool
}

// get asks for a document. The caller closes the body.
func (c *Client) get(ctx context.Context, remote Remote, address *url.URL, etag string) (found, error) {
	home, err := url.Parse(remote.URL)
	if err != nil {
		return found{}, ErrAddress
	}
	carrier, err := c.Pool.Get(transport.Options{
		Host: home.Host, Certificates: remote.Certificates, Proxy: remote.Proxy, SystemRoots: true, Plain: home.Scheme == "http" || address.Scheme == "http",
	})
	if err != nil {
		return found{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return found{}, ErrAddress
	}
	request.Header.Set("User-Agent", c.Agent)
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	if remote.Username != "" && (remote.PassCredentials || sameHost(home, address)) {
		request.SetBasicAuth(remote.Username.Reveal(), remote.Password.Reveal())
	}
	client := &http.Client{Transport: carrier, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("too many redirects")
		}
		if !remote.PassCredentials && !sameHost(home, next.URL) {
			next.Header.Del("Authorization")
		}
		return nil
	}}
	response, err := client.Do(request)
	if err != nil {
		return found{}, bare(err)
	}
	switch {
	case response.StatusCode == http.StatusNotModified:
		_ = response.Body.Close()
		return found{etag: etag, unchanged: true}, nil
	case response.StatusCode == http.StatusOK:
		return found{body: response.Body, etag: response.Header.Get("ETag")}, nil
	}
	_, _ = io.CopyN(io.Discard, response.Body, maxError)
	_ = response.Body.Close()
	err = fmt.Errorf("the server answers %s", response.Status)
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
		err = fmt.Errorf("%w: %w", ErrAuthentication, err)
	}
	return found{}, err
}

// bare takes the address out of an error: it may carry a token.
func bare(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

func sameHost(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
}

// shown returns an address without what may be secret in it.
func shown(address *url.URL) string {
	plain := *address
	plain.User, plain.RawQuery, plain.Fragment = nil, "", ""
	return plain.String()
}

// below returns the address of a file of a repository.
func below(repository *url.URL, name string) *url.URL {
	address := *repository
	address.Path = path.Join("/", address.Path, name)
	address.RawPath = ""
	return &address
}

func parse(remote Remote) (*url.URL, error) {
	address, err := url.Parse(remote.URL)
	if err != nil || address.Host == "" {
		return nil, fmt.Errorf("%w: the repository's address is not of the form scheme://host/path", ErrAddress)
	}
	return address, nil
}

// Fetched is what is known of a repository's index.
type Fetched struct {
	Index *index.Index
	// Digest is the SHA-256 of the index as it was sent, "sha256:…", and Size its length.
	Digest string
	Size   int64
	// ETag lets the next look cost nothing where nothing changed.
	ETag string
	// Unchanged says that the index is the one that the ETag belongs to: the other fields are empty then.
	Unchanged bool
}

// Fetch reads the index of a repository.
func (c *Client) Fetch(ctx context.Context, remote Remote, etag string) (Fetched, error) {
	repository, err := parse(remote)
	if err != nil {
		return Fetched{}, err
	}
	ctx, cancel := remote.within(ctx)
	defer cancel()
	address := below(repository, "index.yaml")
	answer, err := c.get(ctx, remote, address, etag)
	if err != nil {
		return Fetched{}, fmt.Errorf("fetching %s: %w", shown(address), err)
	}
	if answer.unchanged {
		return Fetched{ETag: etag, Unchanged: true}, nil
	}
	defer func() { _ = answer.body.Close() }()
	sum, size := sha256.New(), &counter{}
	body := io.TeeReader(answer.body, io.MultiWriter(sum, size))
	read, err := index.Read(body)
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(body, index.MaxBytes))
	}
	if err != nil {
		return Fetched{}, fmt.Errorf("fetching %s: %w", shown(address), err)
	}
	return Fetched{Index: read, Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Size: size.n, ETag: answer.etag}, nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// Download fetches a packed chart that an index names, and compares it with the index's digest.
func (c *Client) Download(ctx context.Context, remote Remote, version index.Version) ([]byte, error) {
	repository, err := parse(remote)
	if err != nil {
		return nil, err
	}
	if len(version.URLs) == 0 {
		return nil, fmt.Errorf("chart %s %s has no address in the index", version.Name, version.Version)
	}
	address, err := url.Parse(version.URLs[0])
	if err != nil {
		return nil, fmt.Errorf("%w of chart %s %s in the index", ErrAddress, version.Name, version.Version)
	}
	if !address.IsAbs() {
		base := *repository
		base.Path = strings.TrimSuffix(base.Path, "/") + "/"
		address = base.ResolveReference(address)
	}
	if address.Scheme == "oci" {
		return nil, fmt.Errorf("chart %s %s is in a registry: use a HelmRepository of type oci", version.Name, version.Version)
	}
	if address.Scheme != "https" && address.Scheme != "http" {
		return nil, fmt.Errorf("%w of chart %s %s in the index: it is neither http nor https", ErrAddress, version.Name, version.Version)
	}
	if address.Scheme == "http" && repository.Scheme == "https" {
		return nil, fmt.Errorf("%w of chart %s %s in the index: a repository of https must not lead to http", ErrAddress, version.Name, version.Version)
	}
	ctx, cancel := remote.within(ctx)
	defer cancel()
	answer, err := c.get(ctx, remote, address, "")
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", shown(address), err)
	}
	defer func() { _ = answer.body.Close() }()
	packed, err := io.ReadAll(io.LimitReader(answer.body, maxChart+1))
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", shown(address), err)
	}
	if len(packed) > maxChart {
		return nil, fmt.Errorf("fetching %s: the chart has more than %d bytes", shown(address), maxChart)
	}
	if err := check(packed, version.Digest); err != nil {
		return nil, fmt.Errorf("fetching %s: %w", shown(address), err)
	}
	return packed, nil
}

// check compares a chart with the digest that an index says. Indexes without one are common.
func check(packed []byte, digest string) error {
	wanted := strings.ToLower(strings.TrimPrefix(digest, "sha256:"))
	if wanted == "" {
		return nil
	}
	sum := sha256.Sum256(packed)
	if got := hex.EncodeToString(sum[:]); got != wanted {
		return fmt.Errorf("the chart's digest is %s, and the index says %s", got, wanted)
	}
	return nil
}

// Written returns an index as it is kept: with what is needed, and nothing else.
func Written(x *index.Index) []byte {
	var text bytes.Buffer
	text.WriteString("apiVersion: v1\nentries:\n")
	x.Each(func(name string, versions []index.Version) {
		_, _ = fmt.Fprintf(&text, "  %q:\n", name)
		for _, one := range versions {
			_, _ = fmt.Fprintf(&text, "  - version: %q\n", one.Version)
			if one.Digest != "" {
				_, _ = fmt.Fprintf(&text, "    digest: %q\n", one.Digest)
			}
			if one.Created != "" {
				_, _ = fmt.Fprintf(&text, "    created: %q\n", one.Created)
			}
			if len(one.URLs) > 0 {
				text.WriteString("    urls:\n")
			}
			for _, address := range one.URLs {
				_, _ = fmt.Fprintf(&text, "    - %q\n", address)
			}
		}
	})
	return text.Bytes()
}
