// Package tree is the word for the files of a source at one revision: read-only, sorted, and
// addressed by digest.
package tree

import (
	"io/fs"
	"path"
	"sort"
	"strings"
)

// Entry is one regular file. Directories exist only as parts of paths, and symbolic links do not
// exist at all: sources leave them out, as Flux's artifacts do.
type Entry struct {
	// Path is slash-separated and clean, relative to the root, and never leaves it.
	Path string
	// Hash identifies the content: equal hashes mean equal bytes. It carries its own algorithm
	// ("sha1:…" of a Git blob, "sha256:…" of the bytes), so hashes of different kinds never collide.
	Hash string
	Size int64
	// Mode is 0o644, or 0o755 for an executable.
	Mode fs.FileMode
}

// Tree gives the files of a source at one revision. It is safe for concurrent use and stays
// readable for as long as it is referenced, even after newer revisions have replaced it.
type Tree interface {
	// Revision is the source's name for this state, for example "main@sha1:5cb2…".
	Revision() string
	// Digest is the artifact's digest, "sha256:…", as the status of a source shows it.
	Digest() string
	// Index lists the files. The caller must not modify it.
	Index() *Index
	// Read returns the content of a file, or an error that wraps fs.ErrNotExist.
	Read(path string) ([]byte, error)
}

// Index answers questions about paths without touching content. It is immutable.
type Index struct {
	entries []Entry        // sorted by Path
	byPath  map[string]int // position in entries
	dirs    map[string][]string
}

// NewIndex sorts entries by path and takes ownership of the slice. A path that appears twice keeps
// the last entry.
func NewIndex(entries []Entry) *Index {
	sort.SliceStable(entries, func(i, j int) bool { return entries[i].Path < entries[j].Path })
	index := &Index{byPath: make(map[string]int, len(entries)), dirs: map[string][]string{".": nil}}
	for _, entry := range entries {
		if position, twice := index.byPath[entry.Path]; twice {
			index.entries[position] = entry
			continue
		}
		index.byPath[entry.Path] = len(index.entries)
		index.entries = append(index.entries, entry)
		index.addToParents(entry.Path)
	}
	for dir := range index.dirs {
		sort.Strings(index.dirs[dir])
	}
	return index
}

// addToParents records a file's name in its directory, and each new directory in its own parent.
func (x *Index) addToParents(name string) {
	for name != "." {
		parent := path.Dir(name)
		_, known := x.dirs[parent]
		x.dirs[parent] = append(x.dirs[parent], path.Base(name))
		if known {
			return
		}
		name = parent
	}
}

// Entries returns all files, sorted by path. The caller must not modify the slice.
func (x *Index) Entries() []Entry { return x.entries }

// Find returns the entry of a file.
func (x *Index) Find(name string) (Entry, bool) {
	position, found := x.byPath[Clean(name)]
	if !found {
		return Entry{}, false
	}
	return x.entries[position], true
}

// IsDir tells whether name is a directory, that is, whether a file lies below it. The root is one.
func (x *Index) IsDir(name string) bool {
	_, found := x.dirs[Clean(name)]
	return found
}

// Names returns the sorted base names of what a directory holds, and false where there is no such
// directory. The caller must not modify the slice.
func (x *Index) Names(dir string) ([]string, bool) {
	names, found := x.dirs[Clean(dir)]
	return names, found
}

// Below returns the files in dir and in all directories below it, sorted by path.
func (x *Index) Below(dir string) []Entry {
	dir = Clean(dir)
	if dir == "." {
		return x.entries
	}
	prefix := dir + "/"
	from := sort.Search(len(x.entries), func(i int) bool { return x.entries[i].Path >= prefix })
	to := from
	for to < len(x.entries) && strings.HasPrefix(x.entries[to].Path, prefix) {
		to++
	}
	return x.entries[from:to]
}

// Clean turns a path as people write it ("./apps/", "/apps", "") into the form that Index uses
// ("apps", "apps", "."). A path that climbs above the root is cut off at the root, as a confined
// join does; callers that must refuse such paths check them first.
func Clean(name string) string {
	clean := path.Clean("/" + name)
	if clean == "/" {
		return "."
	}
	return clean[1:]
}
