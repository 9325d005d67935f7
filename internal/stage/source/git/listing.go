package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/git/mirror"
	"holdfast.dev/holdfast/internal/stage/source/git/pack"
)

// listing collects the entries of a commit and of its submodules.
type listing struct {
	fetcher *Fetcher
	files   *files
	bytes   int64
	dirs    int
	modules int
}

// add lists the files of a state below the prefix that its plan has.
func (l *listing) add(ctx context.Context, p plan, s state, chain []place) error {
	walk := &walk{listing: l, lease: s.lease, sparse: p.sparse, found: make([]bool, len(p.sparse.dirs))}
	for _, above := range chain {
		walk.prefix = path.Join(walk.prefix, above.path)
	}
	err := walk.descend(ctx, "", s.commit.tree, 0)
	if errors.Is(err, pack.ErrCorrupt) {
		s.lease.Condemn()
	}
	if err != nil {
		return err
	}
	var modules []link
	if p.submodules {
		modules = walk.links
	}
	if err := walk.checkSparse(modules); err != nil {
		return err
	}
	if len(modules) > 0 {
		return l.addModules(ctx, p, s, modules, chain)
	}
	return nil
}

// walk lists one repository.
type walk struct {
	listing *listing
	lease   *mirror.Lease
	prefix  string // of the repository in the whole
	sparse  sparse
	found   []bool // which of the sparse directories are there
	links   []link
}

// link is where a submodule belongs.
type link struct {
	path   string // within its repository
	commit plumbing.Hash
}

func (w *walk) descend(ctx context.Context, dir string, hash plumbing.Hash, depth int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if depth > maxDepth || len(dir) > maxPath {
		return fmt.Errorf("the directories are nested deeper than %d", maxDepth)
	}
	// Trees can share subtrees, so a small repository may describe more directories than atoms exist.
	if w.listing.dirs++; w.listing.dirs > 4*w.listing.fetcher.options.MaxFiles+1000 {
		return &pack.LimitError{What: "number of directories", Limit: int64(4*w.listing.fetcher.options.MaxFiles + 1000)}
	}
	read, err := w.listing.fetcher.nodes.get(w.lease, hash)
	if err != nil {
		return err
	}
	w.note(dir)
	for _, file := range read.files {
		if err := w.addFile(below(dir, file.name), file); err != nil {
			return err
		}
	}
	for _, link := range read.links {
		w.addLink(below(dir, link.name), link.hash)
	}
	for _, sub := range read.dirs {
		name := below(dir, sub.name)
		if !w.sparse.overlaps(name) {
			continue
		}
		if err := w.descend(ctx, name, sub.hash, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// below joins names that are clean already.
func below(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func (w *walk) addFile(name string, file leaf) error {
	if !w.sparse.includes(name) {
		return nil
	}
	options := w.listing.fetcher.options
	if len(w.listing.files.entries) >= options.MaxFiles {
		return &pack.LimitError{What: "number of files", Limit: int64(options.MaxFiles)}
	}
	if w.listing.bytes += file.size; w.listing.bytes > options.MaxRepositoryBytes || w.listing.bytes < 0 {
		return &pack.LimitError{What: "sum of the sizes of all files in bytes", Limit: options.MaxRepositoryBytes}
	}
	full := below(w.prefix, name)
	if len(full) > maxPath {
		return fmt.Errorf("the path of %q is longer than %d bytes", path.Base(name), maxPath)
	}
	mode := fs.FileMode(0o644)
	if file.executable {
		mode = 0o755
	}
	w.listing.files.entries = append(w.listing.files.entries, tree.Entry{
		Path: full, Hash: file.id, Size: file.size, Mode: mode,
	})
	return nil
}

func (w *walk) addLink(name string, commit plumbing.Hash) {
	if w.sparse.overlaps(name) {
		w.note(name)
		w.links = append(w.links, link{path: name, commit: commit})
	}
}

func (w *walk) note(dir string) {
	for i, wanted := range w.sparse.dirs {
		if dir == wanted {
			w.found[i] = true
		}
	}
}

// checkSparse insists that all wanted directories are there: a typing error must not become an
// empty artifact. What lies within modules is theirs to check.
func (w *walk) checkSparse(modules []link) error {
	for i, wanted := range w.sparse.dirs {
		if w.found[i] {
			continue
		}
		inModule := false
		for _, link := range modules {
			inModule = inModule || within(wanted, link.path)
		}
		if !inModule {
			return fmt.Errorf("%w: %q", errMissingDir, wanted)
		}
	}
	return nil
}
