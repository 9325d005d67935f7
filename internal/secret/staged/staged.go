package staged

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/index"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Repository is a Git repository with a working tree.
type Repository struct {
	repository *git.Repository
	root       string
}

// ErrNone says that a folder is in no Git repository.
var ErrNone = git.ErrRepositoryNotExists

// Open finds the repository that a folder belongs to.
func Open(dir string) (*Repository, error) {
	opened, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if err != nil {
		return nil, fmt.Errorf("opening the Git repository of %s: %w", dir, err)
	}
	work, err := opened.Worktree()
	if err != nil {
		return nil, fmt.Errorf("opening the Git repository of %s: %w", dir, err)
	}
	return &Repository{repository: opened, root: work.Filesystem.Root()}, nil
}

// Root is the top folder of the working tree.
func (r *Repository) Root() string { return r.root }

// Hooks is the folder of the repository's hooks.
func (r *Repository) Hooks() (string, error) {
	config, err := r.repository.Config()
	if err != nil {
		return "", fmt.Errorf("reading the configuration of the Git repository %s: %w", r.root, err)
	}
	if dir := config.Raw.Section("core").Option("hooksPath"); dir != "" {
		if strings.HasPrefix(dir, "~/") || filepath.IsAbs(dir) {
			return "", fmt.Errorf("finding the hooks of %s: core.hooksPath leads to %s, outside of the repository", r.root, dir)
		}
		return filepath.Join(r.root, filepath.FromSlash(dir)), nil
	}
	stored, ok := r.repository.Storer.(*filesystem.Storage)
	if !ok {
		return "", fmt.Errorf("finding the hooks of %s: it is no repository on the disk", r.root)
	}
	return filepath.Join(common(stored.Filesystem().Root()), "hooks"), nil
}

// common returns the folder that the working trees of a repository share.
func common(dir string) string {
	if filepath.Base(filepath.Dir(dir)) == "worktrees" {
		return filepath.Dir(filepath.Dir(dir))
	}
	return dir
}

// File is a staged file.
type File struct {
	Name string // from the top of the repository, with slashes
	Size int64
	open func() (io.ReadCloser, error)
}

// Open reads the content as it is staged.
func (f File) Open() (io.ReadCloser, error) { return f.open() }

// Files lists the regular files that are added or changed in the index, and those with conflicts.
func (r *Repository) Files() ([]File, error) {
	listed, err := r.repository.Storer.Index()
	if err != nil {
		return nil, fmt.Errorf("reading the index of %s: %w", r.root, err)
	}
	committed, err := r.committed()
	if err != nil {
		return nil, fmt.Errorf("reading the last commit of %s: %w", r.root, err)
	}
	var files []File
	for _, entry := range listed.Entries {
		regular := entry.Mode == filemode.Regular || entry.Mode == filemode.Executable || entry.Mode == filemode.Deprecated
		if !regular || committed[entry.Name] == entry.Hash || entry.IntentToAdd {
			continue
		}
		files = append(files, r.file(entry))
	}
	return files, nil
}

func (r *Repository) file(entry *index.Entry) File {
	return File{Name: entry.Name, Size: int64(entry.Size), open: func() (io.ReadCloser, error) {
		blob, err := r.repository.BlobObject(entry.Hash)
		if err != nil {
			return nil, fmt.Errorf("reading what is staged of %s: %w", entry.Name, err)
		}
		return blob.Reader()
	}}
}

// committed lists the files of the last commit; a repository without one has none.
func (r *Repository) committed() (map[string]plumbing.Hash, error) {
	head, err := r.repository.Head()
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	commit, err := r.repository.CommitObject(head.Hash())
	if err != nil {
		return nil, err
	}
	tree, err := commit.Tree()
	if err != nil {
		return nil, err
	}
	files := map[string]plumbing.Hash{}
	walker := object.NewTreeWalker(tree, true, nil)
	defer walker.Close()
	for {
		name, entry, err := walker.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if entry.Mode.IsFile() {
			files[name] = entry.Hash
		}
	}
}
