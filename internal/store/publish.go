package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// publication is a tree under a path.
type publication struct {
	digest string
	// since is when the path was published last; the newest one of a source is its current one.
	since time.Time
	// until is when a newer one took its place; zero for the current one.
	until time.Time
}

// latest is the file name under which a source's current archive can be asked for.
const latest = "latest" + archiveSuffix

// PathOf returns the path of an artifact as Flux builds it: kind in lower case, namespace, name, and
// a file named for the revision.
func PathOf(kind, namespace, name, file string) string {
	return path.Join(strings.ToLower(kind), namespace, name, file+archiveSuffix)
}

// Publish serves a stored tree under a path that PathOf made. What was published for the same source
// before stays for the grace period, so that a reader who has just learned of it still finds it.
func (s *Store) Publish(name, digest string) error {
	if err := checkPublicPath(name); err != nil {
		return fmt.Errorf("publishing %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, stored := s.used[digest]; !stored {
		return fmt.Errorf("publishing %s as %q: %w", digest, name, fs.ErrNotExist)
	}
	if now, published := s.published[name]; published && now.digest == digest && now.until.IsZero() {
		return nil
	}
	if err := s.replaceFile(path.Join(publicDir, name), []byte(digest+"\n")); err != nil {
		return fmt.Errorf("publishing %q: %w", name, err)
	}
	now := s.options.Now()
	s.supersede(path.Dir(name), now)
	s.published[name] = publication{digest: digest, since: now}
	return nil
}

// supersede marks the current publication of a source as replaced. The caller holds the lock.
func (s *Store) supersede(source string, now time.Time) {
	for name, other := range s.published {
		if path.Dir(name) == source && other.until.IsZero() {
			other.until = now
			s.published[name] = other
		}
	}
}

// checkPublicPath accepts exactly four elements, the last one a tar.gz file.
func checkPublicPath(name string) error {
	file := path.Base(name)
	if !fs.ValidPath(name) || strings.Count(name, "/") != 3 || strings.ContainsAny(name, "\\\x00") ||
		!strings.HasSuffix(file, archiveSuffix) || file == latest || file == archiveSuffix {
		return errors.New("want kind/namespace/name/file.tar.gz")
	}
	return nil
}

// Retract ends every publication below a source's path, "kind/namespace/name". The trees go with the
// next Prune.
func (s *Store) Retract(source string) error {
	if !fs.ValidPath(source) || strings.Count(source, "/") != 2 {
		return fmt.Errorf("retracting %q: want kind/namespace/name", source)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.published {
		if path.Dir(name) == source {
			delete(s.published, name)
		}
	}
	if err := s.root.RemoveAll(path.Join(publicDir, source)); err != nil {
		return fmt.Errorf("retracting %q: %w", source, err)
	}
	return nil
}

// lookup finds what is served under a path; the name latest.tar.gz stands for the current archive.
func (s *Store) lookup(name string) (digest string, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path.Base(name) != latest {
		entry, found := s.published[name]
		return entry.digest, found
	}
	for candidate, entry := range s.published {
		if path.Dir(candidate) == path.Dir(name) && entry.until.IsZero() {
			return entry.digest, true
		}
	}
	return "", false
}

// loadPublications reads what is published. Which one of a source is the current one is told by the
// files' times; the others have been replaced, and their grace begins anew.
func (s *Store) loadPublications() error {
	err := fs.WalkDir(s.root.FS(), publicDir, func(name string, file fs.DirEntry, err error) error {
		if err != nil || file.IsDir() {
			return err
		}
		content, err := s.root.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := file.Info()
		if err != nil {
			return err
		}
		digest, public := strings.TrimSpace(string(content)), strings.TrimPrefix(name, publicDir+"/")
		if _, stored := s.used[digest]; !stored || checkPublicPath(public) != nil {
			return s.root.Remove(name)
		}
		s.published[public] = publication{digest: digest, since: info.ModTime()}
		return nil
	})
	if err != nil {
		return err
	}
	now := s.options.Now()
	for _, names := range s.bySource() {
		for _, name := range names[1:] {
			entry := s.published[name]
			entry.until = now
			s.published[name] = entry
		}
	}
	return nil
}

// bySource groups the published paths by source, the newest first. The caller holds the lock.
func (s *Store) bySource() map[string][]string {
	sources := map[string][]string{}
	for name := range s.published {
		sources[path.Dir(name)] = append(sources[path.Dir(name)], name)
	}
	for _, names := range sources {
		slices.SortFunc(names, func(a, b string) int {
			if order := s.published[b].since.Compare(s.published[a].since); order != 0 {
				return order
			}
			return strings.Compare(a, b)
		})
	}
	return sources
}
