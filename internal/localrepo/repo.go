package localrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Repository is a Git repository in a folder. It is safe for concurrent use.
type Repository struct {
	dir string // the folder that was asked for, absolute
	git string // its .git folder, or the folder itself when it is bare
}

// Open finds the repository that a folder is part of.
func Open(dir string) (*Repository, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	for at := absolute; ; at = filepath.Dir(at) {
		for _, candidate := range []string{filepath.Join(at, ".git"), at} {
			if isGitDir(candidate) {
				repository := &Repository{dir: at, git: candidate}
				_, err := repository.open()
				return repository, err
			}
		}
		if at == filepath.Dir(at) {
			return nil, fmt.Errorf("opening %s: it is not in a Git repository; run `git init` and commit there first", dir)
		}
	}
}

// isGitDir tells whether a folder (or the file that a linked work tree has in its place) is Git's own.
func isGitDir(name string) bool {
	info, err := os.Stat(name)
	if err != nil {
		return false
	}
	if !info.IsDir() {
		return filepath.Base(name) == ".git"
	}
	_, head := os.Stat(filepath.Join(name, "HEAD"))
	_, objects := os.Stat(filepath.Join(name, "objects"))
	return head == nil && objects == nil
}

// Dir is the top folder of the repository.
func (r *Repository) Dir() string { return r.dir }

// open reads the repository anew: one that was packed meanwhile has other files.
func (r *Repository) open() (*git.Repository, error) {
	opened, err := git.PlainOpenWithOptions(r.dir, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if err != nil {
		return nil, fmt.Errorf("opening Git repository %s: %w", r.dir, err)
	}
	return opened, nil
}

// Branch returns the name of the branch that is checked out. A repository without a commit, or with
// a detached head, is an error that says what to do.
func (r *Repository) Branch() (string, error) {
	opened, err := r.open()
	if err != nil {
		return "", err
	}
	head, err := opened.Head()
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return "", fmt.Errorf("reading %s: it has no commit yet; commit something first", r.dir)
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", r.dir, err)
	}
	if !head.Name().IsBranch() {
		return "", fmt.Errorf("reading %s: no branch is checked out; run `git switch BRANCH` first", r.dir)
	}
	return head.Name().Short(), nil
}

// Create makes a repository in a new or empty folder with one commit that holds the files, on the
// branch main.
func Create(dir string, files fs.FS, message string) (*Repository, error) {
	if names, err := os.ReadDir(dir); err == nil && len(names) > 0 {
		return nil, fmt.Errorf("creating repository in %s: the folder is not empty", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a work tree, for people to edit
		return nil, fmt.Errorf("creating repository: %w", err)
	}
	if err := os.CopyFS(dir, files); err != nil {
		return nil, fmt.Errorf("creating repository in %s: %w", dir, err)
	}
	made, err := git.PlainInitWithOptions(dir, &git.PlainInitOptions{
		InitOptions: git.InitOptions{DefaultBranch: plumbing.NewBranchReferenceName("main")},
	})
	if err != nil {
		return nil, fmt.Errorf("creating repository in %s: %w", dir, err)
	}
	work, err := made.Worktree()
	if err != nil {
		return nil, fmt.Errorf("creating repository in %s: %w", dir, err)
	}
	if err := work.AddWithOptions(&git.AddOptions{All: true}); err != nil {
		return nil, fmt.Errorf("creating repository in %s: %w", dir, err)
	}
	author := &object.Signature{Name: "Holdfast", Email: "demo@holdfast.invalid", When: time.Now()}
	if _, err := work.Commit(message, &git.CommitOptions{Author: author}); err != nil {
		return nil, fmt.Errorf("creating repository in %s: %w", dir, err)
	}
	return Open(dir)
}
