package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/stage/source/git/pack"
	"holdfast.dev/holdfast/internal/stage/source/git/wire"
)

// Repository is the cache of one remote. Its folder holds generations: bare repositories of which
// the one with the highest number counts. A damaged or overgrown one is replaced by a new one, and
// removed when the last reader has left it.
type Repository struct {
	dir    string
	client *wire.Client
	users  int           // guarded by the cache's lock
	turn   chan struct{} // holds one token; who has it talks to the remote

	mu      sync.Mutex
	current *generation
	loaded  bool
	last    int // highest number so far
	leases  int

	// The last list of references, for those who asked before it was made and still wait.
	arrivals int
	waiting  int
	listedAt int
	listed   *wire.Advertisement
}

// generation is one bare repository.
type generation struct {
	dir       string
	tips      Tips
	store     *pack.Store // nil while closed
	leases    int
	condemned bool
}

func newRepository(dir string, client *wire.Client) *Repository {
	r := &Repository{dir: dir, client: client, turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	return r
}

// Take waits for the turn to talk to the remote.
func (r *Repository) Take(ctx context.Context) error {
	select {
	case <-r.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for another fetch of the same repository: %w", context.Cause(ctx))
	}
}

// Give passes the turn on.
func (r *Repository) Give() { r.turn <- struct{}{} }

// Arrive notes that somebody wants to know the references as they are from now on. It must be
// followed by Leave.
func (r *Repository) Arrive() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrivals++
	r.waiting++
	return r.arrivals
}

// Leave forgets the references with the last who might want them: they can be large.
func (r *Repository) Leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting--; r.waiting == 0 {
		r.listed = nil
	}
}

// List returns the references as they were at some moment after arrival. Of many that wait for their
// turn, only the first asks the remote; conversation is nil for the others. Only the holder of the
// turn may call it.
func (r *Repository) List(ctx context.Context, arrival int) (*wire.Advertisement, *wire.Conversation, error) {
	r.mu.Lock()
	if r.listed != nil && r.listedAt >= arrival {
		defer r.mu.Unlock()
		return r.listed, nil, nil
	}
	asked := r.arrivals
	r.mu.Unlock()
	conversation, err := r.client.Open(ctx)
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listed, r.listedAt = conversation.Advertisement(), asked
	return conversation.Advertisement(), conversation, nil
}

// Lease is the right to read a generation until Release.
type Lease struct {
	// Store has the generation's objects.
	Store *pack.Store

	repo       *Repository
	generation *generation
	once       sync.Once
}

// Generation tells generations apart: what was learnt of one says nothing of another.
type Generation struct{ of *generation }

// Generation returns the one that the lease is for.
func (l *Lease) Generation() Generation { return Generation{of: l.generation} }

// Open begins a conversation with the remote. Only the holder of the turn may call it.
func (r *Repository) Open(ctx context.Context) (*wire.Conversation, error) { return r.client.Open(ctx) }

// Receive adds a pack of the remote.
func (l *Lease) Receive(ctx context.Context, in io.Reader, limits pack.Limits) error {
	base := func(hash plumbing.Hash) (plumbing.ObjectType, []byte, error) {
		return l.Store.Read(hash, limits.Memory)
	}
	if _, err := pack.Receive(ctx, l.generation.packs(), in, limits, base); err != nil {
		return err
	}
	return l.Store.Refresh()
}

// Lease opens the current generation, or starts the first one.
func (r *Repository) Lease() (*Lease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(); err != nil {
		return nil, fmt.Errorf("opening the repository cache: %w", err)
	}
	g := r.current
	if g.store == nil {
		store, err := pack.Open(g.packs())
		if err != nil {
			r.condemn(g)
			return nil, err
		}
		g.store = store
	}
	g.leases++
	r.leases++
	return &Lease{Store: g.store, repo: r, generation: g}, nil
}

func (r *Repository) leased() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leases > 0
}

// Release gives the lease back. Calling it twice does nothing. The packs stay open for the next
// reader, unless the generation is condemned.
func (l *Lease) Release() error {
	var err error
	l.once.Do(func() {
		l.repo.mu.Lock()
		defer l.repo.mu.Unlock()
		l.repo.leases--
		l.generation.leases--
		if l.generation.condemned && l.generation.leases == 0 {
			err = errors.Join(l.generation.close(), os.RemoveAll(l.generation.dir))
		}
	})
	return err
}

// close closes the packs of a generation that nobody reads.
func (g *generation) close() error {
	if g.store == nil {
		return nil
	}
	err := g.store.Close()
	g.store = nil
	return err
}

// rest closes what is open and in nobody's hands.
func (r *Repository) rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil && r.current.leases == 0 {
		_ = r.current.close() // it was read only
	}
	r.client.CloseIdle()
}

// Condemn makes sure that nobody gets a lease of a damaged generation again.
func (l *Lease) Condemn() {
	l.repo.mu.Lock()
	defer l.repo.mu.Unlock()
	l.repo.condemn(l.generation)
}

func (r *Repository) condemn(g *generation) {
	g.condemned = true
	if r.current == g {
		r.current = nil
	}
	if g.leases == 0 {
		_ = g.close()
		_ = os.RemoveAll(g.dir) // what stays is removed at the next start
	}
}

// load finds the current generation on disk, removes what crashes left, and starts a new generation
// where there is none.
func (r *Repository) load() error {
	if r.current != nil {
		return nil
	}
	if !r.loaded {
		if err := r.scan(); err != nil {
			return err
		}
		r.loaded = true
	}
	if r.current == nil {
		r.last++
		g, err := newGeneration(filepath.Join(r.dir, strconv.Itoa(r.last)))
		r.current = g
		return err
	}
	return nil
}

func (r *Repository) scan() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	best := 0
	for _, entry := range entries {
		number, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		r.last = max(r.last, number)
		if _, err := os.Stat(filepath.Join(r.dir, entry.Name(), tipsFile)); err == nil {
			best = max(best, number)
		}
	}
	for _, entry := range entries {
		if entry.Name() != strconv.Itoa(best) {
			if err := os.RemoveAll(filepath.Join(r.dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if best == 0 {
		return nil
	}
	g := &generation{dir: filepath.Join(r.dir, strconv.Itoa(best))}
	content, err := os.ReadFile(filepath.Join(g.dir, tipsFile))
	if err != nil {
		return err
	}
	if g.tips, err = decodeTips(content); err != nil { // damaged: start anew
		return os.RemoveAll(g.dir)
	}
	r.current = g
	return nil
}

// The files of a bare repository. The list of tips is written last: a generation without it is
// unfinished.
const (
	tipsFile    = "packed-refs"
	shallowFile = "shallow"
)

func newGeneration(dir string) (*generation, error) {
	g := &generation{dir: dir}
	if err := os.MkdirAll(g.packs(), 0o700); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "refs"), 0o700); err != nil {
		return nil, err
	}
	if err := pack.WriteFile(filepath.Join(dir, "HEAD"), []byte("ref: refs/heads/none\n")); err != nil {
		return nil, err
	}
	config := "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
	return g, pack.WriteFile(filepath.Join(dir, "config"), []byte(config))
}

func (g *generation) packs() string { return filepath.Join(g.dir, "objects", "pack") }

// Tips returns the commits that the generation holds.
func (l *Lease) Tips() Tips {
	l.repo.mu.Lock()
	defer l.repo.mu.Unlock()
	return l.generation.tips
}

// Has tells whether a commit is one of the tips.
func (l *Lease) Has(commit plumbing.Hash) bool { return l.Tips().has(commit) }

// Add notes that commits are here as a whole.
func (l *Lease) Add(added ...Tip) error {
	l.repo.mu.Lock()
	defer l.repo.mu.Unlock()
	next := l.generation.tips
	for _, tip := range added {
		next = next.with(tip)
	}
	if err := next.save(l.generation.dir); err != nil {
		return fmt.Errorf("writing to the repository cache: %w", err)
	}
	l.generation.tips = next
	return nil
}

func (t Tips) save(dir string) error {
	if err := pack.WriteFile(filepath.Join(dir, shallowFile), t.shallows()); err != nil {
		return err
	}
	return pack.WriteFile(filepath.Join(dir, tipsFile), t.encode())
}
