package pack

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
)

// Store reads the objects of a folder of packs. It is safe for concurrent use.
type Store struct {
	dir       string
	inflaters sync.Pool // of *inflater

	mu    sync.RWMutex
	packs []*packFile
	names map[string]struct{}

	cacheMu sync.Mutex
	cache   map[place]base // bases of deltas that were read lately
	cached  int
}

type packFile struct {
	name  string
	file  *os.File
	size  int64
	index *idxfile.MemoryIndex
}

// place is where an object lies.
type place struct {
	pack   *packFile
	offset int64
}

type base struct {
	kind    plumbing.ObjectType
	content []byte
}

// maxCached bounds the bytes of delta bases that are kept at hand.
const maxCached = 16 << 20

// Open opens a folder of packs. A folder that does not exist is an empty store.
func Open(dir string) (*Store, error) {
	store := &Store{dir: dir, names: map[string]struct{}{}, cache: map[place]base{}}
	if err := store.Refresh(); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// Refresh opens the packs that were added since.
func (s *Store) Refresh() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("opening packs: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entry := range entries {
		name, isIndex := strings.CutSuffix(entry.Name(), ".idx")
		if _, known := s.names[name]; known || !isIndex {
			continue
		}
		opened, err := openPack(s.dir, name)
		if err != nil {
			return err
		}
		s.packs = append(s.packs, opened)
		s.names[name] = struct{}{}
	}
	return nil
}

func openPack(dir, name string) (*packFile, error) {
	raw, err := os.Open(filepath.Join(dir, name+".idx")) //nolint:gosec // the folder is ours
	if err != nil {
		return nil, fmt.Errorf("%w: opening index of %s: %w", ErrCorrupt, name, err)
	}
	defer func() { _ = raw.Close() }()
	index := idxfile.NewMemoryIndex()
	if err := idxfile.NewDecoder(raw).Decode(index); err != nil {
		return nil, fmt.Errorf("%w: reading index of %s: %w", ErrCorrupt, name, err)
	}
	file, err := os.Open(filepath.Join(dir, name+".pack")) //nolint:gosec // the folder is ours
	if err != nil {
		return nil, fmt.Errorf("%w: opening %s: %w", ErrCorrupt, name, err)
	}
	pack := &packFile{name: name, file: file, index: index}
	if err := pack.check(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return pack, nil
}

// check makes sure that the pack is the one that the index speaks of, whole to its end. Objects are
// verified when they are read.
func (p *packFile) check() error {
	info, err := p.file.Stat()
	if err != nil {
		return fmt.Errorf("opening %s: %w", p.name, err)
	}
	p.size = info.Size()
	var trailer plumbing.Hash
	if p.size < packHeaderSize+trailerSize {
		return fmt.Errorf("%w: %s is too short", ErrCorrupt, p.name)
	}
	if _, err := p.file.ReadAt(trailer[:], p.size-trailerSize); err != nil {
		return fmt.Errorf("opening %s: %w", p.name, err)
	}
	if trailer != plumbing.Hash(p.index.PackfileChecksum) {
		return fmt.Errorf("%w: %s does not belong to its index", ErrCorrupt, p.name)
	}
	return nil
}

// Close closes the files. Readers that Open gave out must not be used after it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, pack := range s.packs {
		errs = append(errs, pack.file.Close())
	}
	s.packs, s.names = nil, map[string]struct{}{}
	return errors.Join(errs...)
}

// Packs tells how many packs there are.
func (s *Store) Packs() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.packs)
}

// Has tells whether an object is there.
func (s *Store) Has(hash plumbing.Hash) bool {
	_, found := s.find(hash)
	return found
}

// Hashes lists all objects, sorted.
func (s *Store) Hashes() ([]plumbing.Hash, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []plumbing.Hash
	for _, pack := range s.packs {
		iterator, err := pack.index.Entries()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		for {
			entry, err := iterator.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
			all = append(all, entry.Hash)
		}
	}
	sort.Slice(all, func(i, j int) bool { return bytes.Compare(all[i][:], all[j][:]) < 0 })
	return all, nil
}

func (s *Store) find(hash plumbing.Hash) (place, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := len(s.packs) - 1; i >= 0; i-- { // what is new is asked for most
		offset, err := s.packs[i].index.FindOffset(hash)
		if err == nil {
			return place{pack: s.packs[i], offset: offset}, true
		}
	}
	return place{}, false
}

func (s *Store) locate(hash plumbing.Hash) (place, header, error) {
	at, found := s.find(hash)
	if !found {
		return at, header{}, fmt.Errorf("%w: object %s is missing", ErrCorrupt, hash)
	}
	h, err := s.headerAt(at)
	if err != nil {
		return at, h, fmt.Errorf("%w: object %s: %w", ErrCorrupt, hash, err)
	}
	return at, h, nil
}

// headerAt reads a header with one small read.
func (s *Store) headerAt(at place) (header, error) {
	var buffer [32]byte // the longest header has 8 bytes of size and 20 of a base's name
	n, err := at.pack.file.ReadAt(buffer[:min(int64(len(buffer)), max(0, at.pack.end()-at.offset))], at.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return header{}, err
	}
	return readHeader(bytes.NewReader(buffer[:n]), at.offset)
}

func (p *packFile) end() int64 { return p.size - trailerSize }

// Size returns an object's size without reading the object.
func (s *Store) Size(hash plumbing.Hash) (int64, error) {
	at, h, err := s.locate(hash)
	if err != nil || !h.isDelta() {
		return h.size, err
	}
	inflated, done, err := s.inflate(at, h)
	if err != nil {
		return 0, fmt.Errorf("%w: object %s: %w", ErrCorrupt, hash, err)
	}
	defer done()
	start := make([]byte, min(20, h.size))
	if _, err := io.ReadFull(inflated, start); err != nil {
		return 0, fmt.Errorf("%w: object %s: %w", ErrCorrupt, hash, err)
	}
	_, target, _, err := deltaSizes(start)
	if err != nil {
		return 0, fmt.Errorf("%w: object %s: %w", ErrCorrupt, hash, err)
	}
	return target, nil
}

// inflater is what reading deflated bytes takes. It is used again and again: the buffers are larger
// than most objects.
type inflater struct {
	in       counting
	deflated io.ReadCloser
}

// inflate reads the deflated bytes of an object; done gives back what that takes.
func (s *Store) inflate(at place, h header) (inflated io.Reader, done func(), err error) {
	from := at.offset + int64(h.length)
	section := io.NewSectionReader(at.pack.file, from, at.pack.end()-from)
	pooled, found := s.inflaters.Get().(*inflater)
	if !found {
		pooled = &inflater{in: counting{in: bufio.NewReaderSize(section, 8<<10)}}
		if pooled.deflated, err = zlib.NewReader(&pooled.in); err != nil {
			return nil, nil, err
		}
	} else {
		pooled.in.in.Reset(section)
		if err := pooled.deflated.(zlib.Resetter).Reset(&pooled.in, nil); err != nil {
			return nil, nil, err
		}
	}
	return pooled.deflated, func() { s.inflaters.Put(pooled) }, nil
}
