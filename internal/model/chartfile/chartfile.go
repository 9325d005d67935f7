package chartfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	helmchart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/ignore"

	"holdfast.dev/holdfast/internal/model/tree"
)

// Metadata is the name of the file that makes a directory a chart.
const Metadata = "Chart.yaml"

// Sizes of what may be read, as Helm has them.
const (
	maxFile  = 5 << 20
	maxTotal = 100 << 20
	maxFiles = 20_000
)

// ErrNone says that there is no chart where one was looked for.
var ErrNone = errors.New("no chart")

// Root returns the directory of a tree that holds the chart: the given one, or, where a packed chart was
// stored as it is, the only directory below it. Archived tells which of the two it is.
func Root(t tree.Tree, dir string) (root string, archived bool, err error) {
	dir = tree.Clean(dir)
	index := t.Index()
	if _, found := index.Find(path.Join(dir, Metadata)); found {
		return dir, false, nil
	}
	names, found := index.Names(dir)
	if !found {
		return "", false, fmt.Errorf("%w: %s is not in the source", ErrNone, dir)
	}
	for _, name := range names {
		below := path.Join(dir, name)
		if _, found := index.Find(path.Join(below, Metadata)); found && len(names) == 1 {
			return below, true, nil
		}
	}
	return "", false, fmt.Errorf("%w: %s has no file %s", ErrNone, dir, Metadata)
}

// Load reads the chart in a directory of a tree.
func Load(t tree.Tree, dir string) (*helmchart.Chart, error) {
	files, err := Files(t, dir)
	if err != nil {
		return nil, err
	}
	return Of(files)
}

// Read reads a packed chart.
func Read(packed []byte) (*helmchart.Chart, error) {
	files, err := archive.LoadArchiveFiles(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpacking chart: %w", err)
	}
	return Of(files)
}

// Of makes a chart of its files.
func Of(files []*archive.BufferedFile) (loaded *helmchart.Chart, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			loaded, err = nil, fmt.Errorf("loading chart: %v", cause)
		}
	}()
	loaded, err = loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("loading chart: %w", err)
	}
	return loaded, nil
}

// Files returns the files of a chart in a directory of a tree, without those that its .helmignore names.
// Their names are relative to the chart.
func Files(t tree.Tree, dir string) ([]*archive.BufferedFile, error) {
	root, archived, err := Root(t, dir)
	if err != nil {
		return nil, err
	}
	rules, err := rulesOf(t, root, archived)
	if err != nil {
		return nil, err
	}
	entries := t.Index().Below(root)
	if len(entries) > maxFiles {
		return nil, fmt.Errorf("reading chart %s: it has more than %d files", root, maxFiles)
	}
	files, total := make([]*archive.BufferedFile, 0, len(entries)), int64(0)
	for _, entry := range entries {
		name := relative(root, entry.Path)
		if ignored(rules, name) {
			continue
		}
		if total += entry.Size; entry.Size > maxFile || total > maxTotal {
			return nil, fmt.Errorf("reading chart %s: %s makes it too large: a file may have %d bytes, a chart %d", root, name, maxFile, maxTotal)
		}
		content, err := t.Read(entry.Path)
		if err != nil {
			return nil, fmt.Errorf("reading chart file %s: %w", entry.Path, err)
		}
		files = append(files, &archive.BufferedFile{Name: name, Data: bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))})
	}
	return files, nil
}

// Digest identifies the files of a chart in a tree without reading them.
func Digest(t tree.Tree, dir string) (string, error) {
	root, archived, err := Root(t, dir)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, archived)
	for _, entry := range t.Index().Below(root) {
		for _, part := range []string{relative(root, entry.Path), entry.Hash} {
			_, _ = io.WriteString(sum, part)
			_, _ = sum.Write([]byte{0})
		}
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

func relative(root, name string) string {
	if root == "." {
		return name
	}
	return strings.TrimPrefix(name, root+"/")
}

// rulesOf reads what a chart ignores of itself. A packed chart has left that out already.
func rulesOf(t tree.Tree, root string, archived bool) (*ignore.Rules, error) {
	if archived {
		return ignore.Empty(), nil
	}
	rules := ignore.Empty()
	name := path.Join(root, ignore.HelmIgnore)
	if _, found := t.Index().Find(name); found {
		content, err := t.Read(name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if rules, err = ignore.Parse(bytes.NewReader(content)); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	rules.AddDefaults()
	return rules, nil
}

// ignored tells whether a file, or a directory that it is in, is ignored.
func ignored(rules *ignore.Rules, name string) bool {
	for at, c := range name {
		if c == '/' && rules.Ignore(name[:at], entryInfo{name: path.Base(name[:at]), dir: true}) {
			return true
		}
	}
	return rules.Ignore(name, entryInfo{name: path.Base(name)})
}

// entryInfo is what the rules ask of a file.
type entryInfo struct {
	name string
	dir  bool
}

func (i entryInfo) Name() string     { return i.name }
func (entryInfo) Size() int64        { return 0 }
func (i entryInfo) IsDir() bool      { return i.dir }
func (entryInfo) ModTime() time.Time { return time.Time{} }
func (entryInfo) Sys() any           { return nil }

func (i entryInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
