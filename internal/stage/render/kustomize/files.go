package kustomize

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"holdfast.dev/holdfast/internal/model/tree"
)

// root is where the tree appears to kustomize. It is not "/", so that a path with too many ".."
// ends outside of the tree and is refused, instead of being cut off at its root.
const root = "/tree"

var errReadOnly = errors.New("the tree cannot be written to")

// meter adds up what all file systems of one build do.
type meter struct {
	bytes atomic.Int64
	// broken is set when the tree could not give a file that it has: what follows from that says
	// nothing of the tree's content.
	broken atomic.Bool
}

// perRead is what reading a file counts on top of its size, so that reading is bounded in number.
const perRead = 512

// files shows a tree to kustomize as a file system. It answers from the tree and from an overlay of
// files in memory, and from nothing else.
type files struct {
	ctx     context.Context //nolint:containedctx // kustomize's file system interface has no context, and a build ends with it
	tree    tree.Tree
	index   *tree.Index
	overlay map[string][]byte
	trace   *Trace
	limits  Limits
	meter   *meter
	// ownSchema permits kustomizations that bring an OpenAPI schema of their own.
	ownSchema bool
	// sorts says that the kustomization to start from has an order of its own.
	sorts bool
	// wantsSchema is set when such a kustomization was met without permission.
	wantsSchema bool
	// refused is the first refusal of guard. Kustomize drops some errors of reading and goes on.
	refused error
	// listed are the files that kustomization files name as resources.
	listed []string
}

var _ filesys.FileSystem = (*files)(nil)

// inside turns an absolute path as kustomize writes it into a path of the tree.
func inside(name string) (string, error) {
	clean := path.Clean(name)
	if clean == root {
		return ".", nil
	}
	rest, found := strings.CutPrefix(clean, root+"/")
	if !found {
		return "", fmt.Errorf("path %q is outside of the source", clean)
	}
	return rest, nil
}

// outside is the reverse of inside.
func outside(name string) string { return path.Join(root, name) }

func (f *files) kind(name string) string {
	if _, found := f.overlay[name]; found {
		return kindFile
	}
	kind := entryKind(f.index, name)
	f.trace.note(askKind, name, kind)
	return kind
}

// hash returns the hash of a file's content, which may be in the overlay, without reading it.
func (f *files) hash(name string) string {
	if data, found := f.overlay[name]; found {
		return hashBytes(data)
	}
	hash := contentHash(f.index, name)
	f.trace.note(askContent, name, hash)
	return hash
}

// content returns a file of the tree or the overlay, within the limits.
func (f *files) content(name string) ([]byte, error) {
	if err := f.ctx.Err(); err != nil {
		return nil, err
	}
	if data, found := f.overlay[name]; found {
		return slices.Clone(data), nil
	}
	hash := f.hash(name)
	if hash == absent {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	entry, _ := f.index.Find(name)
	if entry.Size > f.limits.FileBytes {
		return nil, fmt.Errorf("reading %s: %w", name, tooMany("file is too large", f.limits.FileBytes))
	}
	data, err := f.tree.Read(name)
	if err != nil {
		f.meter.broken.Store(true)
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if f.meter.bytes.Add(int64(len(data))+perRead) > f.limits.TotalBytes {
		return nil, fmt.Errorf("reading %s: %w", name, tooMany("build reads too much", f.limits.TotalBytes))
	}
	return data, nil
}

// ReadFile implements filesys.FileSystem.
func (f *files) ReadFile(name string) ([]byte, error) {
	name, err := inside(name)
	if err != nil {
		return nil, err
	}
	data, err := f.content(name)
	if err != nil {
		return nil, err
	}
	if err := f.guard(name, data); err != nil {
		if f.refused == nil {
			f.refused = err
		}
		return nil, err
	}
	if isKustomizationName(name) {
		data = modern(data)
	}
	return data, nil
}

// Exists implements filesys.FileSystem.
func (f *files) Exists(name string) bool {
	name, err := inside(name)
	return err == nil && f.kind(name) != absent
}

// IsDir implements filesys.FileSystem.
func (f *files) IsDir(name string) bool {
	name, err := inside(name)
	return err == nil && f.kind(name) == kindDir
}

// CleanedAbs implements filesys.FileSystem.
func (f *files) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	relative, err := inside(name)
	if err != nil {
		return "", "", err
	}
	switch f.kind(relative) {
	case kindDir:
		return filesys.ConfirmedDir(outside(relative)), "", nil
	case kindFile:
		return filesys.ConfirmedDir(outside(path.Dir(relative))), path.Base(relative), nil
	default:
		return "", "", fmt.Errorf("%s: no such file or directory", relative)
	}
}

// ReadDir implements filesys.FileSystem. No build needs it, so it is refused and never recorded.
func (f *files) ReadDir(string) ([]string, error) { return nil, errors.ErrUnsupported }

// Glob implements filesys.FileSystem; see ReadDir.
func (f *files) Glob(string) ([]string, error) { return nil, errors.ErrUnsupported }

// Walk implements filesys.FileSystem; see ReadDir.
func (f *files) Walk(string, filepath.WalkFunc) error { return errors.ErrUnsupported }

// Open implements filesys.FileSystem; see ReadDir.
func (f *files) Open(string) (filesys.File, error) { return nil, errors.ErrUnsupported }

// Create implements filesys.FileSystem.
func (f *files) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir implements filesys.FileSystem.
func (f *files) Mkdir(string) error { return errReadOnly }

// MkdirAll implements filesys.FileSystem.
func (f *files) MkdirAll(string) error { return errReadOnly }

// RemoveAll implements filesys.FileSystem.
func (f *files) RemoveAll(string) error { return errReadOnly }

// WriteFile implements filesys.FileSystem.
func (f *files) WriteFile(string, []byte) error { return errReadOnly }

// kustomizationFiles returns the paths of the kustomization files in a directory. More than one is a
// mistake, of which kustomize tells.
func (f *files) kustomizationFiles(dir string) []string {
	var found []string
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if candidate := path.Join(dir, name); f.kind(candidate) == kindFile {
			found = append(found, candidate)
		}
	}
	return found
}

// manifests lists what a kustomization generated for dir would have as resources.
func (f *files) manifests(dir string) []string {
	names := scan(f.index, dir)
	f.trace.note(askScan, dir, digestNames(names))
	return names
}

// scan lists the YAML files below dir, and in the place of what lies below a directory with a
// kustomization file of its own, that directory. Paths are relative to dir.
func scan(index *tree.Index, dir string) []string {
	var found []string
	var walk func(dir, prefix string)
	walk = func(dir, prefix string) {
		names, _ := index.Names(dir)
		for _, name := range names {
			full, relative := path.Join(dir, name), prefix+name
			switch {
			case !index.IsDir(full):
				if extension := path.Ext(name); extension == ".yaml" || extension == ".yml" {
					found = append(found, relative)
				}
			case hasKustomization(index, full):
				found = append(found, relative)
			default:
				walk(full, relative+"/")
			}
		}
	}
	walk(dir, "")
	return found
}

func hasKustomization(index *tree.Index, dir string) bool {
	return slices.ContainsFunc(konfig.RecognizedKustomizationFileNames(), func(name string) bool {
		_, found := index.Find(path.Join(dir, name))
		return found
	})
}

func isKustomizationName(name string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name))
}
