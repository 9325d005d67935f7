package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"
)

// Start prunes the store once a minute until the context ends.
func (s *Store) Start(ctx context.Context) error {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			// What could not be removed now is tried again, and a full disk shows elsewhere.
			_ = s.Prune()
		}
	}
}

// Prune ends the publications whose grace is over, and removes the trees that are neither published
// nor held by anybody nor lately asked for.
func (s *Store) Prune() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.options.Now()
	return errors.Join(s.prunePublications(now), s.pruneTrees(now))
}

func (s *Store) prunePublications(now time.Time) error {
	var problems []error
	for _, names := range s.bySource() {
		for position, name := range names {
			entry := s.published[name]
			current := entry.until.IsZero()
			if current || position < s.options.Records && now.Sub(entry.until) < s.options.Grace {
				continue
			}
			delete(s.published, name)
			problems = append(problems, s.removeIfThere(path.Join(publicDir, name)))
		}
	}
	return errors.Join(problems...)
}

func (s *Store) pruneTrees(now time.Time) error {
	keep := map[string]time.Duration{} // how long after its last use a tree stays
	for _, entry := range s.published {
		keep[entry.digest] = 1<<63 - 1
	}
	names := map[string][]string{}
	for foreign, own := range s.aliases {
		names[own] = append(names[own], foreign)
		keep[own] = max(keep[own], s.options.Unused)
	}
	var problems []error
	for digest, last := range s.used {
		held := s.bodies[digest].Value() != nil
		if held || now.Sub(last) < max(keep[digest], s.options.Grace) {
			continue
		}
		problems = append(problems, s.remove(digest))
		for _, foreign := range names[digest] {
			delete(s.aliases, foreign)
			problems = append(problems, s.removeIfThere(aliasFile(foreign)))
		}
	}
	if problems = slices.DeleteFunc(problems, func(err error) bool { return err == nil }); len(problems) > 0 {
		return fmt.Errorf("pruning store: %w", errors.Join(problems...))
	}
	return nil
}

func (s *Store) removeIfThere(name string) error {
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
