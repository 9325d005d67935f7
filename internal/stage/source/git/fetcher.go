package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/revision"
	"holdfast.dev/holdfast/internal/stage/source/git/mirror"
	"holdfast.dev/holdfast/internal/stage/source/git/pack"
	"holdfast.dev/holdfast/internal/stage/source/git/wire"
)

// Condition reasons of this stage's errors, as Flux uses them: AuthenticationFailed is for credentials
// that are unusable in themselves; what a server refuses is an operation that failed.
const (
	reasonURL    = "URLInvalid"
	reasonAccess = "AuthenticationFailed"
	reasonFailed = "GitOperationFailed"
)

// Options configure a Fetcher. Only Dir has no default.
type Options struct {
	// Dir holds the cached repositories. No other process may use it at the same time.
	Dir string
	// MaxRepositoryBytes bounds one transfer, and the sum of a commit's files; 0 means 2 GiB.
	MaxRepositoryBytes int64
	// MaxFileBytes bounds a file that is opened; 0 means 256 MiB.
	MaxFileBytes int64
	// MaxFiles bounds the files of a commit; 0 means 200,000.
	MaxFiles int
	// MaxListingBytes bounds the memory for directory listings that are kept; 0 means 32 MiB.
	MaxListingBytes int64
	// Dial opens all network connections, those to proxies too; nil means a plain net.Dialer.
	Dial wire.Dial
	// Proxy chooses a proxy for HTTP remotes whose request names none; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// UserAgent is shown to servers; "" means "git/holdfast". Some hosts insist on the "git/".
	UserAgent string
}

// Fetcher fetches from remotes through a cache on disk. It is safe for concurrent use. Requests of
// one remote with the same credentials take turns; all others run in parallel.
type Fetcher struct {
	options Options
	cache   *mirror.Cache
	nodes   *nodes
}

// New makes a Fetcher. It does not touch the disk before the first fetch.
func New(options Options) *Fetcher {
	defaultTo(&options.MaxRepositoryBytes, 2<<30)
	defaultTo(&options.MaxFileBytes, 256<<20)
	defaultTo(&options.MaxFiles, 200_000)
	defaultTo(&options.MaxListingBytes, 32<<20)
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Fetcher{options: options, cache: mirror.New(options.Dir, options.Now, wire.Options{
		Dial: options.Dial, UserAgent: options.UserAgent, Proxy: options.Proxy,
	}), nodes: newNodes(options.MaxListingBytes)}
}

func defaultTo[T int | int64](value *T, otherwise T) {
	if *value <= 0 {
		*value = otherwise
	}
}

// Prune removes cached repositories that nobody used for a time, and forgets their connections.
func (f *Fetcher) Prune(ctx context.Context, unusedFor time.Duration) error {
	return f.cache.Prune(ctx, unusedFor)
}

// plan is a request that was checked.
type plan struct {
	endpoint   wire.Endpoint
	access     wire.Access
	selector   selector
	sparse     sparse
	submodules bool
	tag        bool
	known      string
	timeout    time.Duration
}

func newPlan(request Request) (plan, error) {
	p := plan{access: request.access(), submodules: request.Submodules, tag: request.Tag, known: request.Known, timeout: request.Timeout}
	if p.timeout <= 0 {
		p.timeout = time.Minute
	}
	var err error
	if p.endpoint, err = wire.Parse(request.URL); err != nil {
		return p, fault.Stall(reasonURL, fmt.Errorf("reading the repository's URL: %w", err))
	}
	if p.selector, err = request.Reference.parse(); err != nil {
		return p, fault.Stall(reasonFailed, fmt.Errorf("fetching from %s: %w", p.endpoint, err))
	}
	if p.sparse, err = newSparse(request.Sparse); err != nil {
		return p, fault.Stall(reasonFailed, fmt.Errorf("fetching from %s: %w", p.endpoint, err))
	}
	return p, nil
}

func (r Request) access() wire.Access {
	return wire.Access{
		Username:         r.Auth.Username,
		Password:         r.Auth.Password,
		BearerToken:      r.Auth.BearerToken,
		Tokens:           r.Auth.Tokens,
		Identity:         r.Auth.Identity,
		IdentityPassword: r.Auth.IdentityPassword,
		KnownHosts:       r.Auth.KnownHosts,
		CA:               r.Auth.CA,
		ClientCert:       r.Auth.ClientCert,
		ClientKey:        r.Auth.ClientKey,
		Proxy:            r.Proxy.URL,
		ProxyUsername:    r.Proxy.Username,
		ProxyPassword:    r.Proxy.Password,
	}
}

// timeoutError is a deadline that says how long it was.
type timeoutError struct{ after time.Duration }

func (t *timeoutError) Error() string { return fmt.Sprintf("timed out after %s", t.after) }

// Is lets callers ask for context.DeadlineExceeded and os.ErrDeadlineExceeded.
func (t *timeoutError) Is(target error) bool {
	return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
}

// Fetch asks the remote of a request for its state. The Files of the result must be closed. Errors
// that only a person can resolve are fault.Stalled, all others transient.
func (f *Fetcher) Fetch(ctx context.Context, request Request) (Result, error) {
	p, err := newPlan(request)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, &timeoutError{after: p.timeout})
	defer cancel()
	result, err := f.fetch(ctx, p)
	if err != nil {
		return Result{}, p.explain(err)
	}
	return result, nil
}

// explain puts an error into one sentence with the subject, and gives it its kind.
func (p plan) explain(err error) error {
	err = fmt.Errorf("fetching %s of %s: %w", p.selector.shown, p.endpoint, err)
	var unusable *wire.AccessError
	if errors.As(err, &unusable) {
		return fault.Stall(reasonAccess, err)
	}
	return fault.Because(reasonFailed, err)
}

func (f *Fetcher) fetch(ctx context.Context, p plan) (Result, error) {
	if p.selector.kind == byCommit && p.known == p.selector.revision(p.selector.label, p.selector.commit) {
		return Result{Revision: p.known, Unchanged: true}, nil // a commit never changes
	}
	state, err := f.obtain(ctx, p)
	if err != nil {
		return Result{}, err
	}
	if state.lease == nil {
		return Result{Revision: p.known, Unchanged: true}, nil
	}
	files := &files{limit: f.options.MaxFileBytes}
	files.hold("", state.lease)
	listing := &listing{fetcher: f, files: files}
	if err := listing.add(ctx, p, state, nil); err != nil {
		return Result{}, errors.Join(err, files.Close())
	}
	return Result{
		Revision: p.selector.revision(state.label, state.commit.hash),
		Commit:   state.commit.describe(),
		Files:    files,
		Objects:  Objects{Commit: state.commit.raw, Tag: state.tag},
	}, nil
}

func (s selector) revision(label string, commit plumbing.Hash) string {
	return revision.Join(label, "sha1:"+commit.String())
}

// state is a commit that is here, with everything that belongs to it.
type state struct {
	label  string
	commit commit
	tag    *Tag
	lease  *mirror.Lease // nil says that the caller has this revision already
}

// obtain makes sure that the commit that a plan means is in the cache. A cached repository that
// turns out to be damaged is thrown away, and one more attempt starts from nothing.
func (f *Fetcher) obtain(ctx context.Context, p plan) (state, error) {
	repo, err := f.cache.Acquire(p.endpoint, p.access)
	if err != nil {
		return state{}, err
	}
	defer f.cache.Release(repo)
	u := &update{fetcher: f, repo: repo, plan: p}
	found, err := u.run(ctx)
	if errors.Is(err, pack.ErrCorrupt) && ctx.Err() == nil {
		found, err = u.run(ctx)
	}
	return found, err
}
