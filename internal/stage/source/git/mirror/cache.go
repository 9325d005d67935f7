package mirror

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/source/git/pack"
	"holdfast.dev/holdfast/internal/stage/source/git/wire"
)

// Cache knows the repositories on disk. It is safe for concurrent use.
type Cache struct {
	dir     string
	now     func() time.Time
	options wire.Options

	mu           sync.Mutex
	salt         []byte
	names        map[[sha256.Size]byte]string // digests of addresses with credentials to folder names
	repositories map[string]*Repository       // by folder name
	awake        []*Repository                // in the order of last use
}

// New makes a cache in a folder that no other process uses. It does not touch the disk yet.
func New(dir string, now func() time.Time, options wire.Options) *Cache {
	options.TempDir = dir
	return &Cache{
		dir:          dir,
		now:          now,
		options:      options,
		names:        map[[sha256.Size]byte]string{},
		repositories: map[string]*Repository{},
	}
}

// Acquire returns the repository of an address with credentials. It is not pruned until Release.
func (c *Cache) Acquire(endpoint wire.Endpoint, access wire.Access) (*Repository, error) {
	name, err := c.name(endpoint, access)
	if err != nil {
		return nil, err
	}
	if repo := c.find(name, nil); repo != nil {
		return repo, nil
	}
	// Reading keys can take a while, so others need not wait for it; the first to be ready wins.
	client, err := wire.NewClient(endpoint, access, c.options)
	if err != nil {
		return nil, err
	}
	return c.find(name, client), nil
}

// find returns a known repository, or a new one where there is a client for it.
func (c *Cache) find(name string, client *wire.Client) *Repository {
	c.mu.Lock()
	defer c.mu.Unlock()
	repo := c.repositories[name]
	if repo == nil && client != nil {
		repo = newRepository(filepath.Join(c.dir, name), client)
		c.repositories[name] = repo
	}
	if repo != nil {
		repo.users++
		c.touch(repo)
	}
	return repo
}

// maxAwake is how many repositories may keep packs and connections open while nobody uses them.
const maxAwake = 32

// touch notes that a repository is used, and lets the one rest that was used longest ago.
func (c *Cache) touch(repo *Repository) {
	c.awake = append(slices.DeleteFunc(c.awake, func(other *Repository) bool { return other == repo }), repo)
	if len(c.awake) > maxAwake {
		c.awake[0].rest()
		c.awake = slices.Delete(c.awake, 0, 1)
	}
}

// forget drops a repository that is not on disk any more.
func (c *Cache) forget(name string) {
	repo := c.repositories[name]
	repo.rest()
	c.awake = slices.DeleteFunc(c.awake, func(other *Repository) bool { return other == repo })
	delete(c.repositories, name)
}

// Release ends the use of a repository.
func (c *Cache) Release(repo *Repository) {
	c.mu.Lock()
	defer c.mu.Unlock()
	repo.users--
	now := c.now()
	// The folder's time is the time of last use; it survives a restart. There is none before the
	// first success.
	_ = os.Chtimes(repo.dir, now, now)
}

// name is the folder of an address with credentials. The digest of the credentials is slow and
// salted: whoever reads the disk must not be able to test guesses of a password against it.
func (c *Cache) name(endpoint wire.Endpoint, access wire.Access) (string, error) {
	fast := identify(endpoint, access)
	salt, name, err := c.recall(fast)
	if err != nil || name != "" {
		return name, err
	}
	address := sha256.Sum256([]byte(endpoint.String()))
	const iterations = 50_000
	slow, err := pbkdf2.Key(sha256.New, string(fast[:]), salt, iterations, 16)
	if err != nil {
		return "", fmt.Errorf("opening the repository cache: %w", err)
	}
	name = hex.EncodeToString(address[:8]) + "-" + hex.EncodeToString(slow)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[fast] = name
	return name, nil
}

func (c *Cache) recall(fast [sha256.Size]byte) (salt []byte, name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.loadSalt(); err != nil {
		return nil, "", fmt.Errorf("opening the repository cache: %w", err)
	}
	return c.salt, c.names[fast], nil
}

// identify digests everything that tells one remote from another, each part with its length.
func identify(endpoint wire.Endpoint, access wire.Access) [sha256.Size]byte {
	var owner redact.Text
	if access.Tokens != nil {
		owner = access.Tokens.Owner()
	}
	hash := sha256.New()
	for _, part := range [][]byte{
		[]byte(endpoint.String()), []byte(endpoint.Query.Reveal()),
		[]byte(endpoint.User.Reveal()), []byte(endpoint.Password.Reveal()),
		[]byte(access.Username.Reveal()), []byte(access.Password.Reveal()), []byte(access.BearerToken.Reveal()),
		access.Identity.Reveal(), []byte(access.IdentityPassword.Reveal()), access.KnownHosts, access.CA,
		access.ClientCert.Reveal(), access.ClientKey.Reveal(),
		[]byte(access.Proxy), []byte(access.ProxyUsername.Reveal()), []byte(access.ProxyPassword.Reveal()),
		[]byte(owner.Reveal()),
	} {
		_, _ = fmt.Fprintf(hash, "%d:", len(part))
		_, _ = hash.Write(part)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

func (c *Cache) loadSalt() error {
	if c.salt != nil {
		return nil
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(c.dir, "salt")
	salt, err := os.ReadFile(path) //nolint:gosec // the folder is ours
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(salt) != sha256.Size {
		salt = make([]byte, sha256.Size)
		_, _ = rand.Read(salt)
		if err := pack.WriteFile(path, salt); err != nil {
			return err
		}
	}
	c.salt = salt
	return nil
}

// Prune removes what was not used for a time. What is in use stays, and so does what is not ours.
func (c *Cache) Prune(ctx context.Context, unusedFor time.Duration) error {
	entries, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pruning the repository cache: %w", err)
	}
	limit := c.now().Add(-unusedFor)
	var errs []error
	for _, entry := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		trash, err := c.condemn(entry, limit)
		if err == nil && trash != "" {
			err = os.RemoveAll(trash) // outside the lock: it may take long
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("pruning the repository cache: %w", err))
		}
	}
	c.forgetIdle()
	return errors.Join(errs...)
}

// condemn takes an unused repository's folder out of the cache and returns where it is now.
func (c *Cache) condemn(entry fs.DirEntry, limit time.Time) (string, error) {
	path := filepath.Join(c.dir, entry.Name())
	if strings.HasPrefix(entry.Name(), trashPrefix) {
		return path, nil // left by a crash
	}
	if !entry.IsDir() || !isCacheName(entry.Name()) {
		return "", nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil || !info.ModTime().Before(limit) {
		return "", nil // gone is as good as removed
	}
	if repo := c.repositories[entry.Name()]; repo != nil {
		if repo.users > 0 || repo.leased() {
			return "", nil
		}
		c.forget(entry.Name())
	}
	trash := filepath.Join(c.dir, trashPrefix+entry.Name())
	return trash, os.Rename(path, trash)
}

const trashPrefix = "trash-"

func isCacheName(name string) bool {
	address, credentials, found := strings.Cut(name, "-")
	return found && len(address) == 16 && len(credentials) == 32
}

// forgetIdle drops what is known of repositories that are not on disk, so that addresses that never
// answered do not pile up.
func (c *Cache) forgetIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, repo := range c.repositories {
		if _, err := os.Stat(repo.dir); errors.Is(err, fs.ErrNotExist) && repo.users == 0 && !repo.leased() {
			c.forget(name)
		}
	}
	for digest, name := range c.names {
		if c.repositories[name] == nil {
			delete(c.names, digest)
		}
	}
}
