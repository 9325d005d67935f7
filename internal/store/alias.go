package store

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Alias lets Get find the tree own also under the digest of the foreign archive that it was made
// from. The alias survives a restart, and it marks the tree as one that is kept without being
// published, because it cannot be made anew without its origin.
func (s *Store) Alias(foreign, own string) error {
	algorithm, hex, err := ParseDigest(foreign)
	if err != nil {
		return err
	}
	foreign = algorithm + ":" + hex
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, stored := s.used[own]; !stored {
		return fmt.Errorf("naming tree %s: %w", own, fs.ErrNotExist)
	}
	if s.aliases[foreign] == own {
		return nil
	}
	if err := s.replaceFile(aliasFile(foreign), []byte(own+"\n")); err != nil {
		return fmt.Errorf("naming tree %s: %w", own, err)
	}
	s.aliases[foreign] = own
	return nil
}

func aliasFile(foreign string) string {
	return path.Join(aliasesDir, strings.Replace(foreign, ":", "-", 1))
}

// loadAliases reads the aliases; those of trees that are gone are removed.
func (s *Store) loadAliases() error {
	files, err := fs.ReadDir(s.root.FS(), aliasesDir)
	if err != nil {
		return err
	}
	for _, file := range files {
		name := path.Join(aliasesDir, file.Name())
		content, err := s.root.ReadFile(name)
		if err != nil {
			return err
		}
		foreign, own := strings.Replace(file.Name(), "-", ":", 1), strings.TrimSpace(string(content))
		if _, stored := s.used[own]; stored && canonical(foreign) == foreign {
			s.aliases[foreign] = own
			continue
		}
		if err := s.root.Remove(name); err != nil {
			return err
		}
	}
	return nil
}
