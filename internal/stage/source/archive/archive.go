package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/tarball"
	"holdfast.dev/holdfast/internal/store"
)

// Artifact is what a source's status tells of its archive.
type Artifact struct {
	URL      string
	Digest   string // "sha256:…", "sha384:…" or "sha512:…"; without an algorithm it is SHA-256
	Revision string
	Size     int64 // 0 when unknown; otherwise the archive has exactly this size
}

// Options tune a Fetcher; the zero value is right for a controller.
type Options struct {
	// Client sends the requests; nil means one with the environment's proxy.
	Client *http.Client
	// Retries is how often a failed request is repeated; 0 means 9, less than 0 means never.
	Retries int
	// Pause is the wait before the first retry; it doubles up to PauseLimit. 0 means 250 ms and 5 s.
	Pause, PauseLimit time.Duration
	// Timeout bounds everything together; 0 means 2 minutes.
	Timeout time.Duration
	// MaxArchive, MaxContent and MaxFiles bound the download, the inflated archive and the number of
	// its files; 0 means 512 MiB, 2 GiB and 100,000.
	MaxArchive, MaxContent int64
	MaxFiles               int
}

// Fetcher opens artifacts. It is safe for concurrent use.
type Fetcher struct {
	store    *store.Store
	options  Options
	fetching singleflight.Group
}

// New returns a Fetcher that keeps what it fetches in the store.
func New(store *store.Store, options Options) *Fetcher {
	if options.Client == nil {
		options.Client = &http.Client{}
	}
	options.Retries = orDefault(options.Retries, 9)
	options.Pause = orDefault(options.Pause, 250*time.Millisecond)
	options.PauseLimit = orDefault(options.PauseLimit, 5*time.Second)
	options.Timeout = orDefault(options.Timeout, 2*time.Minute)
	options.MaxArchive = orDefault(options.MaxArchive, 512<<20)
	options.MaxContent = orDefault(options.MaxContent, 2<<30)
	options.MaxFiles = orDefault(options.MaxFiles, 100_000)
	return &Fetcher{store: store, options: options}
}

func orDefault[T comparable](value, otherwise T) T {
	if value == *new(T) {
		return otherwise
	}
	return value
}

// retryAfter is when to look again for an archive that is not there, or is not what the status says:
// the source is about to replace it.
const retryAfter = 30 * time.Second

// Open returns the artifact's tree, from the store or else from the network. A missing archive and a
// digest that does not match are worth waiting for; an artifact that cannot be a tree is an error.
func (f *Fetcher) Open(ctx context.Context, artifact Artifact) (*store.Tree, error) {
	if _, _, err := store.ParseDigest(artifact.Digest); err != nil {
		return nil, fmt.Errorf("opening artifact %s: %w", artifact.Revision, err)
	}
	stored, err := f.store.Get(artifact.Digest)
	if err == nil {
		return stored.As(artifact.Revision), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening artifact %s: %w", artifact.Revision, err)
	}
	fetched, err := f.fetchOnce(ctx, artifact)
	switch {
	case err == nil:
		return fetched.As(artifact.Revision), nil
	case errors.Is(err, errNotFound), errors.Is(err, errMismatch):
		return nil, fault.Wait("", retryAfter, fmt.Errorf("opening artifact %s: %w", artifact.Revision, err))
	default:
		return nil, fmt.Errorf("opening artifact %s: %w", artifact.Revision, err)
	}
}

// fetchOnce lets all who want the same archive at the same time wait for one download. It goes on
// for the others when one of them gives up.
func (f *Fetcher) fetchOnce(ctx context.Context, artifact Artifact) (*store.Tree, error) {
	result := f.fetching.DoChan(artifact.Digest+" "+artifact.URL, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.options.Timeout)
		defer cancel()
		return f.fetch(ctx, artifact)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case done := <-result:
		if done.Err != nil {
			return nil, done.Err
		}
		return done.Val.(*store.Tree), nil
	}
}

// fetch downloads, verifies and stores.
func (f *Fetcher) fetch(ctx context.Context, artifact Artifact) (*store.Tree, error) {
	download, err := f.store.Scratch()
	if err != nil {
		return nil, err
	}
	defer func() { _ = download.Close() }()
	if err := f.download(ctx, artifact, download); err != nil {
		return nil, fmt.Errorf("fetching %s: %w", scrub(artifact.URL), err)
	}
	content, err := f.store.Scratch()
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }()
	if _, err := download.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	files, err := tarball.Unpack(ctx, download, content, tarball.Limits{Content: f.options.MaxContent, Files: f.options.MaxFiles})
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", scrub(artifact.URL), err)
	}
	stored, err := f.store.Put(ctx, files.Snapshot(artifact.Revision), nil)
	if err != nil {
		return nil, err
	}
	return stored, f.store.Alias(artifact.Digest, stored.Digest())
}
