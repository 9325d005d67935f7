package rules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/getsops/sops/v3/config"

	"holdfast.dev/holdfast/internal/secret/document"
)

// Name is what the file is called.
const Name = ".sops.yaml"

// The reasons for which a file has no rule.
var (
	ErrNoFile = errors.New("there is no " + Name + " in its folder or above it")
	ErrNoRule = errors.New("no rule is for it")
)

// Find returns the .sops.yaml that counts for a file: the nearest one above it.
func Find(file string) (string, error) {
	absolute, err := filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("finding %s for %s: %w", Name, file, err)
	}
	for dir := filepath.Dir(absolute); ; dir = filepath.Dir(dir) {
		name := filepath.Join(dir, Name)
		info, err := os.Stat(name)
		if err == nil && info.Mode().IsRegular() {
			return name, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("finding %s for %s: %w", Name, file, err)
		}
		if dir == filepath.Dir(dir) {
			return "", ErrNoFile
		}
	}
}

// For returns the rule of a file in the .sops.yaml that counts for it.
func For(file string) (document.Rule, error) {
	name, err := Find(file)
	if err != nil {
		return document.Rule{}, err
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return document.Rule{}, err
	}
	return In(name, absolute)
}

// In returns the rule of a file, given by its absolute path, in a .sops.yaml.
func In(name, file string) (document.Rule, error) {
	style, err := config.LoadStoresConfig(name)
	if err != nil {
		return document.Rule{}, fmt.Errorf("reading %s: %w", name, err)
	}
	found, err := config.LoadCreationRuleForFile(name, file, nil)
	switch {
	case err != nil && strings.Contains(err.Error(), "no matching creation rules"):
		return document.Rule{}, fmt.Errorf("reading %s: %w", name, ErrNoRule)
	case err != nil:
		return document.Rule{}, fmt.Errorf("reading %s: %w", name, err)
	case found == nil:
		return document.Rule{}, fmt.Errorf("reading %s: %w", name, ErrNoRule)
	}
	return document.Rule{
		Groups: found.KeyGroups, Threshold: found.ShamirThreshold,
		UnencryptedSuffix: found.UnencryptedSuffix, EncryptedSuffix: found.EncryptedSuffix,
		UnencryptedRegex: found.UnencryptedRegex, EncryptedRegex: found.EncryptedRegex,
		UnencryptedCommentRegex: found.UnencryptedCommentRegex, EncryptedCommentRegex: found.EncryptedCommentRegex,
		MACOnlyEncrypted: found.MACOnlyEncrypted, Style: style,
	}, nil
}

// Style returns how files are written below a .sops.yaml; nil is the default.
func Style(file string) *document.Style {
	name, err := Find(file)
	if err != nil {
		return nil
	}
	style, err := config.LoadStoresConfig(name)
	if err != nil {
		return nil
	}
	return style
}
