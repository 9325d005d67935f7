package confine

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
	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// Root is where the tree appears to kustomize. It is not "/", so that a path with too many ".."
// ends outside of the tree and is refused, instead of being cut off at its root.
const Root = "/tree"

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

// Files shows a tree to kustomize as a file system. It answers from the tree and from an overlay of
// files in memory, and from nothing else.
type Files struct {
	// Ctx ends the build: kustomize's file system interface has no context of its own.
	Ctx context.Context //nolint:containedctx // see above
	// Overlay holds files in memory, by their path in the tree. They hide those of the tree.
	Overlay map[string][]byte
	// Trace notes what is asked; it is nil where nobody wants to know.
	Trace *Trace
	// OwnSchema permits kustomizations that bring an OpenAPI schema of their own; WantsSchema is set
	// when such a one was met without permission.
	OwnSchema, WantsSchema bool
	// Refused is the first refusal. Kustomize drops some errors of reading and goes on.
	Refused error
	// Listed are the files that the kustomization files name as resources.
	Listed []string

	tree   tree.Tree
	index  *tree.Index
	limits manifest.Limits
	meter  *meter
	// unsealer decrypts files; nil where nothing is decrypted.
	unsealer *unsealer
}

// Open shows a tree for one build.
func Open(ctx context.Context, t tree.Tree, limits manifest.Limits) *Files {
	return &Files{
		Ctx: ctx, Overlay: map[string][]byte{}, Trace: newTrace(),
		tree: t, index: t.Index(), limits: limits, meter: &meter{},
	}
}

// Part shows the same tree for a part of the same build: it shares the limits and what was decrypted, but
// neither the overlay nor the trace.
func (f *Files) Part(ctx context.Context) *Files {
	return &Files{Ctx: ctx, Overlay: map[string][]byte{}, tree: f.tree, index: f.index, limits: f.limits, meter: f.meter, unsealer: f.unsealer}
}

// Broken tells whether the tree could not give a file that it has.
func (f *Files) Broken() bool { return f.meter.broken.Load() }

var _ filesys.FileSystem = (*Files)(nil)

// Inside turns an absolute path as kustomize writes it into a path of the tree.
func Inside(name string) (string, error) {
	clean := path.Clean(name)
	if clean == Root {
		return ".", nil
	}
	rest, found := strings.CutPrefix(clean, Root+"/")
	if !found {
		return "", fmt.Errorf("path %q is outside of the source", clean)
	}
	return rest, nil
}

// Outside is the reverse of Inside.
func Outside(name string) string { return path.Join(Root, name) }

// Kind tells whether a path is a file, a directory, or absent.
func (f *Files) Kind(name string) string {
	if _, found := f.Overlay[name]; found {
		return KindFile
	}
	kind := entryKind(f.index, name)
	f.Trace.note(askKind, name, kind)
	return kind
}

// Hash returns the hash of a file's content, which may be in the overlay, without reading it. What may be
// decrypted content is known by the keys, too.
func (f *Files) Hash(name string) string {
	if data, found := f.Overlay[name]; found {
		return manifest.HashBytes(data)
	}
	hash := contentHash(f.index, name)
	f.Trace.note(askContent, name, hash)
	if _, found := f.unsealer.roleOf(name); found && hash != Absent {
		hash += "@" + f.unsealer.opener.Keys()
	}
	return hash
}

// Content returns a file of the tree or the overlay, within the limits.
func (f *Files) Content(name string) ([]byte, error) {
	if err := f.Ctx.Err(); err != nil {
		return nil, err
	}
	if data, found := f.Overlay[name]; found {
		return slices.Clone(data), nil
	}
	hash := f.Hash(name)
	if hash == Absent {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	entry, _ := f.index.Find(name)
	if entry.Size > f.limits.FileBytes {
		return nil, fmt.Errorf("reading %s: %w", name, manifest.TooMany("file is too large", f.limits.FileBytes))
	}
	data, err := f.tree.Read(name)
	if err != nil {
		f.meter.broken.Store(true)
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if f.meter.bytes.Add(int64(len(data))+perRead) > f.limits.TotalBytes {
		return nil, fmt.Errorf("reading %s: %w", name, manifest.TooMany("build reads too much", f.limits.TotalBytes))
	}
	if f.unsealer == nil {
		return data, nil
	}
	plain, err := f.unsealer.file(f.Ctx, name, data)
	if Passing(err) {
		f.meter.broken.Store(true)
	}
	if err != nil && f.Refused == nil {
		f.Refused = err // kustomize drops the kinds of errors, and tries files as directories
	}
	return plain, err
}

// ReadFile implements filesys.FileSystem.
func (f *Files) ReadFile(name string) ([]byte, error) {
	name, err := Inside(name)
	if err != nil {
		return nil, err
	}
	data, err := f.Content(name)
	if err != nil {
		return nil, err
	}
	if err := f.guard(name, data); err != nil {
		if f.Refused == nil {
			f.Refused = err
		}
		return nil, err
	}
	if IsKustomization(name) {
		data = modern(data)
	}
	return data, nil
}

// Exists implements filesys.FileSystem.
func (f *Files) Exists(name string) bool {
	name, err := Inside(name)
	return err == nil && f.Kind(name) != Absent
}

// IsDir implements filesys.FileSystem.
func (f *Files) IsDir(name string) bool {
	name, err := Inside(name)
	return err == nil && f.Kind(name) == KindDir
}

// CleanedAbs implements filesys.FileSystem.
func (f *Files) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	relative, err := Inside(name)
	if err != nil {
		return "", "", err
	}
	switch f.Kind(relative) {
	case KindDir:
		return filesys.ConfirmedDir(Outside(relative)), "", nil
	case KindFile:
		return filesys.ConfirmedDir(Outside(path.Dir(relative))), path.Base(relative), nil
	default:
		return "", "", fmt.Errorf("%s: no such file or directory", relative)
	}
}

// ReadDir implements filesys.FileSystem. No build needs it, so it is refused and never recorded.
func (f *Files) ReadDir(string) ([]string, error) { return nil, errors.ErrUnsupported }

// Glob implements filesys.FileSystem; see ReadDir.
func (f *Files) Glob(string) ([]string, error) { return nil, errors.ErrUnsupported }

// Walk implements filesys.FileSystem; see ReadDir.
func (f *Files) Walk(string, filepath.WalkFunc) error { return errors.ErrUnsupported }

// Open implements filesys.FileSystem; see ReadDir.
func (f *Files) Open(string) (filesys.File, error) { return nil, errors.ErrUnsupported }

// Create implements filesys.FileSystem.
func (f *Files) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir implements filesys.FileSystem.
func (f *Files) Mkdir(string) error { return errReadOnly }

// MkdirAll implements filesys.FileSystem.
func (f *Files) MkdirAll(string) error { return errReadOnly }

// RemoveAll implements filesys.FileSystem.
func (f *Files) RemoveAll(string) error { return errReadOnly }

// WriteFile implements filesys.FileSystem.
func (f *Files) WriteFile(string, []byte) error { return errReadOnly }

// KustomizationFiles returns the paths of the kustomization files in a directory. More than one is a
// mistake, of which kustomize tells.
func (f *Files) KustomizationFiles(dir string) []string {
	var found []string
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if candidate := path.Join(dir, name); f.Kind(candidate) == KindFile {
			found = append(found, candidate)
		}
	}
	return found
}

// Manifests lists what a kustomization generated for dir would have as resources.
func (f *Files) Manifests(dir string) []string {
	names := scan(f.index, dir)
	f.Trace.note(askScan, dir, digestNames(names))
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

// IsKustomization tells whether kustomize takes a file for a kustomization by its name.
func IsKustomization(name string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name))
}
