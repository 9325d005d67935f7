package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
	"golang.org/x/term"

	"holdfast.dev/holdfast/internal/secret/document"
	"holdfast.dev/holdfast/internal/secret/rules"
)

func isTerminal(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }

// walk visits the regular files below some paths that Git would take: what .gitignore names is left
// out, and so is Git's own folder. A path that is named itself is always visited.
func walk(paths []string, visit func(name string, entry fs.DirEntry) error) error {
	for _, path := range paths {
		w := walker{root: path, visit: visit}
		if err := w.begin(); err != nil {
			return err
		}
		if err := filepath.WalkDir(path, w.step); err != nil {
			return fmt.Errorf("looking through %s: %w", path, bare(err))
		}
	}
	return nil
}

type walker struct {
	root    string
	above   []string // of root, from the top of its repository
	ignored []gitignore.Pattern
	visit   func(name string, entry fs.DirEntry) error
}

// begin reads the .gitignore files above the place where the walk begins.
func (w *walker) begin() error {
	absolute, err := filepath.Abs(w.root)
	if err != nil {
		return fmt.Errorf("finding %s: %w", w.root, err)
	}
	root, repository, err := top(w.root)
	if err != nil || repository == nil {
		return err
	}
	if resolved, err := filepath.EvalSymlinks(absolute); err == nil {
		absolute = resolved
	}
	inside, err := filepath.Rel(root, absolute)
	if err != nil || inside == "." || strings.HasPrefix(inside, "..") {
		return nil
	}
	w.above = strings.Split(filepath.ToSlash(inside), "/")
	for i := range w.above {
		w.read(filepath.Join(root, filepath.Join(w.above[:i]...)), w.above[:i])
	}
	return nil
}

// read adds the patterns of one folder.
func (w *walker) read(dir string, domain []string) {
	content, err := os.ReadFile(filepath.Join(dir, ".gitignore"))
	if err != nil {
		return
	}
	for line := range strings.SplitSeq(string(content), "\n") {
		if line = strings.TrimRight(line, "\r"); line != "" && !strings.HasPrefix(line, "#") {
			w.ignored = append(w.ignored, gitignore.ParsePattern(line, domain))
		}
	}
}

func (w *walker) step(name string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	inside, err := filepath.Rel(w.root, name)
	if err != nil {
		return err
	}
	steps := w.above
	if inside != "." {
		steps = append(append([]string{}, w.above...), strings.Split(filepath.ToSlash(inside), "/")...)
		if w.ignores(steps, entry.IsDir()) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
	}
	if entry.IsDir() {
		if entry.Name() == ".git" {
			return fs.SkipDir
		}
		w.read(name, steps)
		return nil
	}
	if !entry.Type().IsRegular() {
		return nil
	}
	return w.visit(name, entry)
}

// ignores asks the patterns in turn: the last one that says something counts.
func (w *walker) ignores(steps []string, isDir bool) bool {
	for i := len(w.ignored) - 1; i >= 0; i-- {
		switch w.ignored[i].Match(steps, isDir) {
		case gitignore.Exclude:
			return true
		case gitignore.Include:
			return false
		}
	}
	return false
}

// encrypted is an encrypted file.
type encrypted struct {
	name   string
	sealed *document.Sealed
	err    error // where it says that it is encrypted, and cannot be read as such
}

// findEncrypted lists the encrypted files below some paths.
func findEncrypted(paths []string) ([]encrypted, error) {
	var found []encrypted
	err := walk(paths, func(name string, entry fs.DirEntry) error {
		info, err := entry.Info()
		if err != nil || info.Size() > maxFile || strings.HasSuffix(name, ".holdfast") {
			return nil // it is gone, or is nothing that anybody encrypted
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if !strings.Contains(string(content), "ENC[AES256_GCM,") {
			return nil
		}
		sealed, err := document.Read(name, content, rules.Style(name))
		if errors.Is(err, document.ErrPlain) {
			return nil
		}
		found = append(found, encrypted{name: name, sealed: sealed, err: err})
		return nil
	})
	return found, err
}
