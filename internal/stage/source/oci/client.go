package oci

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// Options configure a Fetcher. Only Scratch has no default.
type Options struct {
	// Scratch makes a file for what is on its way.
	Scratch func() (*os.File, error)
	// Pool keeps connections; nil means one of its own.
	Pool *transport.Pool
	// MaxLayer and MaxContent bound a layer and what it inflates to, MaxFiles the files in it; 0 means
	// 512 MiB, 2 GiB and 100,000.
	MaxLayer, MaxContent int64
	MaxFiles             int
	// MaxTags bounds the tags that are looked through for a range of versions; 0 means 100,000.
	MaxTags int
}

// Fetcher reads from registries. It keeps the tokens and connections of those that it knows. It is safe for
// concurrent use.
type Fetcher struct {
	options Options

	mu      sync.Mutex
	clients map[[sha256.Size]byte]*client
}

// client is a repository as one login sees it.
type client struct {
	key        [sha256.Size]byte
	puller     *remote.Puller
	repository name.Repository
	used       time.Time
}

// New makes a Fetcher.
func New(options Options) *Fetcher {
	defaultTo(&options.MaxLayer, 512<<20)
	defaultTo(&options.MaxContent, 2<<30)
	defaultTo(&options.MaxFiles, 100_000)
	defaultTo(&options.MaxTags, 100_000)
	if options.Pool == nil {
		options.Pool = &transport.Pool{}
	}
	return &Fetcher{options: options, clients: map[[sha256.Size]byte]*client{}}
}

func defaultTo[T int | int64](value *T, otherwise T) {
	if *value <= 0 {
		*value = otherwise
	}
}

// clientOf returns the client for a plan: the one that was used before, with the token that it has.
func (f *Fetcher) clientOf(p plan) (*client, error) {
	key := p.key()
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.clients[key]; known != nil {
		known.used = time.Now()
		return known, nil
	}
	carrier, err := f.options.Pool.Get(p.way())
	if err != nil {
		return nil, err
	}
	puller, err := remote.NewPuller(
		remote.WithTransport(bounded{carrier}),
		remote.WithAuth(p.Login.authenticator()),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}), // who asks tries again, and holds no worker meanwhile
		remote.WithUserAgent("holdfast"),
	)
	if err != nil {
		return nil, err
	}
	made := &client{key: key, puller: puller, repository: p.repository, used: time.Now()}
	f.clients[key] = made
	return made, nil
}

// forget drops a client after an error: its login may have ended, or its registry's way to ask for one changed.
func (f *Fetcher) forget(c *client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.clients[c.key] == c {
		delete(f.clients, c.key)
	}
}

// Prune forgets the clients that nobody used for a time.
func (f *Fetcher) Prune(unusedFor time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, known := range f.clients {
		if time.Since(known.used) > unusedFor {
			delete(f.clients, key)
		}
	}
}

// way describes how requests of a plan travel.
func (p plan) way() transport.Options {
	certified := len(p.Certificates.Authority) > 0 || len(p.Certificates.Client) > 0
	return transport.Options{
		Host:         p.repository.RegistryStr(),
		Certificates: p.Certificates, SystemRoots: true,
		Plain:      p.Insecure || p.repository.Scheme() == "http", // names of one's own machine or network
		Unverified: p.Insecure && !certified,
		Proxy:      p.Proxy,
	}
}

// key is a digest of everything that makes two clients different.
func (p plan) key() (sum [sha256.Size]byte) {
	way := p.way()
	hash := sha256.New()
	login := Login{}
	if p.Login != nil {
		login = *p.Login
	}
	for _, part := range []string{
		p.repository.Name(), login.Username.Reveal(), login.Password.Reveal(), login.Identity.Reveal(), login.Bearer.Reveal(), way.Key(),
	} {
		_, _ = fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	hash.Sum(sum[:0])
	return sum
}

// maxAnswer bounds every answer that is not a layer: manifests, lists of tags, tokens.
const maxAnswer = 8 << 20

// bounded is a RoundTripper whose answers end, but for layers, which are bounded where they are read.
type bounded struct{ inner http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.inner.RoundTrip(r)
	if err != nil || strings.Contains(r.URL.Path, "/blobs/") || r.Response != nil {
		return response, err // what a redirect leads to is a layer
	}
	response.Body = &limited{body: response.Body, left: maxAnswer}
	return response, nil
}

type limited struct {
	body io.ReadCloser
	left int64
}

func (l *limited) Read(into []byte) (int, error) {
	n, err := l.body.Read(into)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("the registry answers with more than %d bytes", maxAnswer)
	}
	return n, err
}

func (l *limited) Close() error { return l.body.Close() }
