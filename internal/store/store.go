package store

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"sync"
	"time"
	"weak"

	"golang.org/x/sync/singleflight"
)

// The folders of a store.
const (
	treesDir   = "trees"   // <hex>.tar.gz and <hex>.json
	publicDir  = "public"  // <kind>/<namespace>/<name>/<file>: each names the digest that is served there
	aliasesDir = "aliases" // <algorithm>-<hex> of a foreign archive: names the digest of ours
	scratchDir = "scratch" // half-written files; emptied when the store is opened
)

// Options tune a Store; the zero value is right for a controller.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Grace is how long a tree stays after it was last published or used; 0 means 60 s.
	Grace time.Duration
	// Records is how many archives stay published for one source, the current one included; 0 means 2.
	Records int
	// Unused is how long a foreign tree stays without being asked for; 0 means 24 h.
	Unused time.Duration
}

// Store keeps trees in a folder. It is safe for concurrent use.
type Store struct {
	root     *os.Root
	options  Options
	encoding string
	opening  singleflight.Group

	mu        sync.Mutex
	bodies    map[string]weak.Pointer[body] // trees that somebody may still hold, by digest
	verified  map[string]os.FileInfo        // archives whose digest this process has checked
	used      map[string]time.Time          // every tree on disk, and when it was last asked for
	aliases   map[string]string             // digest of a foreign archive to digest of ours
	published map[string]publication        // by path
}

// Open opens the store in dir and creates the folder where there is none. What an interrupted
// process left half-written is removed.
func Open(dir string, options Options) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating store: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	store := &Store{
		root:      root,
		options:   withDefaults(options),
		encoding:  fmt.Sprintf("tar+gzip%d %s", compression, runtime.Version()),
		bodies:    map[string]weak.Pointer[body]{},
		verified:  map[string]os.FileInfo{},
		used:      map[string]time.Time{},
		aliases:   map[string]string{},
		published: map[string]publication{},
	}
	if err := store.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening store %s: %w", dir, err), root.Close())
	}
	return store, nil
}

// Close releases the folder. Trees that are still held stay readable.
func (s *Store) Close() error { return s.root.Close() }

// compression is fast, because what is stored is small and read far more often than written.
const compression = gzip.BestSpeed

func withDefaults(options Options) Options {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Grace == 0 {
		options.Grace = time.Minute
	}
	if options.Records == 0 {
		options.Records = 2
	}
	if options.Unused == 0 {
		options.Unused = 24 * time.Hour
	}
	return options
}

// load empties the scratch folder and reads what the others hold.
func (s *Store) load() error {
	if err := s.root.RemoveAll(scratchDir); err != nil {
		return fmt.Errorf("removing half-written files: %w", err)
	}
	for _, dir := range []string{treesDir, publicDir, aliasesDir, scratchDir} {
		if err := s.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := s.loadTrees(); err != nil {
		return fmt.Errorf("listing trees: %w", err)
	}
	if err := s.loadAliases(); err != nil {
		return fmt.Errorf("reading aliases: %w", err)
	}
	if err := s.loadPublications(); err != nil {
		return fmt.Errorf("reading publications: %w", err)
	}
	return nil
}

// loadTrees lists the archives that have an index; the index's time tells of the last use. An archive
// without one was not finished, and an index without its archive is of no use: both go.
func (s *Store) loadTrees() error {
	files, err := fs.ReadDir(s.root.FS(), treesDir)
	if err != nil {
		return err
	}
	archives := map[string]bool{}
	for _, file := range files {
		if hex, found := strings.CutSuffix(file.Name(), archiveSuffix); found {
			archives[hex] = true
		}
	}
	for _, file := range files {
		hex, found := strings.CutSuffix(file.Name(), indexSuffix)
		if !found || !archives[hex] || !isHex(hex, sha256Length) {
			continue
		}
		info, err := file.Info()
		if err != nil {
			return err
		}
		s.used["sha256:"+hex] = info.ModTime()
		delete(archives, hex)
	}
	for _, file := range files {
		hex, _, _ := strings.Cut(file.Name(), ".")
		if _, whole := s.used["sha256:"+hex]; !whole {
			if err := s.root.RemoveAll(path.Join(treesDir, file.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	archiveSuffix = ".tar.gz"
	indexSuffix   = ".json"
)

// fileOf returns the path of one of a tree's two files. The digest must be one of ours.
func fileOf(digest, suffix string) string {
	return path.Join(treesDir, strings.TrimPrefix(digest, "sha256:")+suffix)
}
