package up

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"holdfast.dev/holdfast/internal/localrepo"
	"holdfast.dev/holdfast/internal/model/redact"
)

// origin is what is delivered: a folder on this machine or a remote repository, and a path in it.
type origin struct {
	repository *localrepo.Repository // nil for a remote one
	url        string                // of a remote one
	branch     string
	path       string
	created    bool // the demo's folder was made just now
	keys       map[string]redact.Bytes
}

// clustersDir is where platform repositories keep one folder for each environment.
const clustersDir = "clusters"

// demoDir is where the demo goes unless told otherwise.
const demoDir = "holdfast-demo"

// find decides what to deliver.
func find(ctx context.Context, o Options) (origin, error) {
	if strings.Contains(o.Target, "://") {
		return remote(o)
	}
	found, err := local(ctx, o)
	if err != nil {
		return origin{}, err
	}
	if found.branch, err = found.repository.Branch(); err != nil {
		return origin{}, err
	}
	if o.Branch != "" && o.Branch != found.branch {
		return origin{}, fmt.Errorf("--branch %s: a folder is delivered as it is checked out, and that is branch %s", o.Branch, found.branch)
	}
	found.path, err = pathIn(os.DirFS(found.repository.Dir()), o)
	return found, err
}

func remote(o Options) (origin, error) {
	if o.Demo {
		return origin{}, errors.New("--demo makes a repository in a folder; give it a folder, not a URL")
	}
	if o.Env == "" && o.Path == "" {
		return origin{}, errors.New("say what to deliver of it, with --env NAME (for clusters/NAME) or --path P")
	}
	branch := o.Branch
	if branch == "" {
		branch = "main"
	}
	return origin{url: o.Target, branch: branch, path: chosen(o)}, nil
}

func local(ctx context.Context, o Options) (origin, error) {
	if !o.Demo {
		dir := o.Target
		if dir == "" {
			dir = "."
		}
		repository, err := localrepo.Open(dir)
		return origin{repository: repository}, err
	}
	dir := o.Target
	if dir == "" {
		dir = demoDir
	}
	if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
		repository, err := localrepo.Open(dir)
		return origin{repository: repository}, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return origin{}, fmt.Errorf("finding the demo's folder: %w", err)
	}
	repository, err := scaffold(ctx, dir, o)
	return origin{repository: repository, created: true}, err
}

func chosen(o Options) string {
	if o.Path != "" {
		return o.Path
	}
	return path.Join(clustersDir, o.Env)
}

// pathIn finds the folder to deliver, and says which there are when that is not clear.
func pathIn(files fs.FS, o Options) (string, error) {
	if o.Path != "" || o.Env != "" {
		wanted := strings.TrimPrefix(path.Clean("/"+chosen(o)), "/")
		if wanted == "" {
			return "", nil
		}
		if info, err := fs.Stat(files, wanted); err != nil || !info.IsDir() {
			return "", fmt.Errorf("there is no folder %s in the repository%s", wanted, hintOf(environments(files)))
		}
		return wanted, nil
	}
	names := environments(files)
	switch {
	case slices.Contains(names, "local"):
		return path.Join(clustersDir, "local"), nil
	case len(names) == 1:
		return path.Join(clustersDir, names[0]), nil
	case len(names) > 1:
		return "", fmt.Errorf("the repository has several environments%s", hintOf(names))
	default:
		return "", errors.New("the repository has no folder clusters/NAME; say what to deliver with --path P")
	}
}

func environments(files fs.FS) []string {
	entries, err := fs.ReadDir(files, clustersDir)
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names
}

func hintOf(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "; choose one with --env " + strings.Join(names, " or --env ")
}
