package localrepo

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// Watch calls moved whenever a reference of the repository may have moved: a commit, a pull, a
// switch of branches, a reset. It returns when ctx ends. Events in quick succession may come as one
// call or several; moved must be cheap.
func (r *Repository) Watch(ctx context.Context, moved func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", r.git, err)
	}
	defer watcher.Close()
	if err := watcher.Add(r.git); err != nil {
		return fmt.Errorf("watching %s: %w", r.git, err)
	}
	r.addFolders(watcher, filepath.Join(r.git, "refs"))
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-watcher.Events:
			if !open {
				return nil
			}
			if event.Has(fsnotify.Create) {
				r.addFolders(watcher, event.Name) // a branch with a slash in its name
			}
			if r.isReference(event.Name) {
				moved()
			}
		case err, open := <-watcher.Errors:
			if !open {
				return nil
			}
			return fmt.Errorf("watching %s: %w", r.git, err)
		}
	}
}

// addFolders watches a folder of references and the folders in it. One that is gone again is fine.
func (r *Repository) addFolders(watcher *fsnotify.Watcher, top string) {
	if top != r.git && !strings.HasPrefix(top, filepath.Join(r.git, "refs")) {
		return
	}
	if info, err := os.Stat(top); err != nil || !info.IsDir() {
		return
	}
	_ = filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			_ = watcher.Add(name)
		}
		return nil
	})
}

// isReference tells whether a changed file can have moved a reference. Lock files come and go around
// each change.
func (r *Repository) isReference(name string) bool {
	if strings.HasSuffix(name, ".lock") {
		return false
	}
	relative, err := filepath.Rel(r.git, name)
	if err != nil {
		return false
	}
	return relative == "HEAD" || relative == "packed-refs" || strings.HasPrefix(relative, "refs"+string(filepath.Separator))
}
