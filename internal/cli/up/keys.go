package up

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/secret/document"
	"holdfast.dev/holdfast/internal/secret/keyring"
	"holdfast.dev/holdfast/internal/secret/rules"
)

// keySecret is the Secret that the platform's units name in spec.decryption.
const keySecret = "sops-age"

// keysFor finds the keys of what is delivered: those in the folder of keys that the rules for it name.
// They are the files' contents, by the files' names. A repository without rules needs none.
func keysFor(deliver origin, folder string) (map[string]redact.Bytes, error) {
	rule, err := rules.For(filepath.Join(deliver.repository.Dir(), filepath.FromSlash(deliver.path), "secret.yaml"))
	if errors.Is(err, rules.ErrNoFile) || errors.Is(err, rules.ErrNoRule) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the rules for %s: %w", deliver.path, err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for keys: %w", err)
	}
	found := map[string]redact.Bytes{}
	for _, entry := range entries {
		file := filepath.Join(folder, entry.Name())
		if filepath.Ext(file) != ".agekey" {
			continue
		}
		ring, err := keyring.Load(keyring.Options{Files: []string{file}})
		if err != nil || !opens(ring, rule.Recipients()) {
			continue // of another repository, or broken; whoever uses it is told
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading a key: %w", err)
		}
		found[entry.Name()] = content
	}
	return found, nil
}

func opens(ring *keyring.Ring, recipients []document.Recipient) bool {
	for _, one := range recipients {
		if _, held := ring.Holds(one.Name); held {
			return true
		}
	}
	return false
}
