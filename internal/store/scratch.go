package store

import (
	"fmt"
	"os"
)

// Scratch gives a new file for data on its way into the store, a download for example. It has no
// name any more where the system allows that, and goes when it is closed; otherwise it goes when the
// store is opened next.
func (s *Store) Scratch() (*os.File, error) {
	file, name, err := s.createScratch()
	if err != nil {
		return nil, fmt.Errorf("creating scratch file: %w", err)
	}
	_ = s.root.Remove(name)
	return file, nil
}
