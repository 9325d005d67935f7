package up

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"holdfast.dev/holdfast/internal/localrepo"
	"holdfast.dev/holdfast/internal/secret/document"
	"holdfast.dev/holdfast/internal/secret/keyring"
	"holdfast.dev/holdfast/internal/secret/rules"
)

// placeholder stands in the platform's templates where a secret will be.
const placeholder = "PLACEHOLDER"

// scaffold makes the demo's repository: the platform, with a key for each environment, rules that name
// them, and secrets that nobody else has. Nothing that is to be encrypted touches the disk before it is.
func scaffold(ctx context.Context, dir string, o Options) (*localrepo.Repository, error) {
	if err := outside(dir, o.Keys); err != nil {
		return nil, err
	}
	made := &overlay{FS: o.Platform, content: map[string][]byte{}}
	list, err := fs.ReadFile(o.Platform, rules.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading %s of the platform: %w", rules.Name, err)
	}
	var keys []string // files of this attempt, which go again if it fails
	repository, err := func() (*localrepo.Repository, error) {
		for _, name := range environments(o.Platform) {
			recipient, file, err := newKey(o.Keys, filepath.Base(dir)+"-"+name)
			if err != nil {
				return nil, err
			}
			keys = append(keys, file)
			list, _, err = rules.Add(list, rules.Environment{Folder: path.Join(clustersDir, name), Recipient: recipient})
			if err != nil {
				return nil, fmt.Errorf("changing %s of the platform: %w", rules.Name, err)
			}
		}
		made.content[rules.Name] = list
		if err := made.seal(ctx); err != nil {
			return nil, err
		}
		return localrepo.Create(dir, made, "Begin with the example platform")
	}()
	if err != nil {
		for _, file := range keys {
			err = errors.Join(err, os.Remove(file))
		}
	}
	return repository, err
}

// outside makes sure that no key lies in the repository.
func outside(dir, keys string) error {
	if keys == "" {
		return errors.New("there is no folder for the keys of the demo: set HOME, or XDG_CONFIG_HOME")
	}
	inside, err := filepath.Rel(dir, keys)
	if err != nil || inside == "." || filepath.IsLocal(inside) {
		return fmt.Errorf("%s is no place for the demo: the keys in %s would lie in it", dir, keys)
	}
	return nil
}

// newKey makes a key in a file of its own; one that is there is never replaced.
func newKey(folder, name string) (recipient, file string, err error) {
	recipient, text, err := keyring.New(keyring.Making{})
	if err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", "", fmt.Errorf("making the folder for keys: %w", err)
	}
	for i := 1; ; i++ {
		file = filepath.Join(folder, name+".agekey")
		if i > 1 {
			file = filepath.Join(folder, fmt.Sprintf("%s-%d.agekey", name, i))
		}
		into, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", "", fmt.Errorf("writing a key: %w", err)
		}
		_, err = into.Write(text.Reveal())
		if err := errors.Join(err, into.Close()); err != nil {
			return "", "", fmt.Errorf("writing a key: %w", errors.Join(err, os.Remove(file)))
		}
		return recipient, file, nil
	}
}

// overlay is files with other content in some of them.
type overlay struct {
	fs.FS
	content map[string][]byte
}

// Open implements fs.FS.
func (o *overlay) Open(name string) (fs.File, error) {
	file, err := o.FS.Open(name)
	content, changed := o.content[name]
	if err != nil || !changed {
		return file, err
	}
	return &changedFile{File: file, content: bytes.NewReader(content)}, nil
}

type changedFile struct {
	fs.File
	content *bytes.Reader
}

// Read implements fs.File.
func (f *changedFile) Read(into []byte) (int, error) { return f.content.Read(into) }

// seal fills in the templates of all environments and encrypts them by the rules.
func (o *overlay) seal(ctx context.Context) error {
	// The rules are public; sops reads them from a file.
	scratch, err := os.MkdirTemp("", "holdfast-rules-")
	if err != nil {
		return fmt.Errorf("encrypting the platform's secrets: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	list := filepath.Join(scratch, rules.Name)
	if err := os.WriteFile(list, o.content[rules.Name], 0o600); err != nil {
		return fmt.Errorf("encrypting the platform's secrets: %w", err)
	}
	return fs.WalkDir(o.FS, clustersDir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".yaml" {
			return err
		}
		template, err := fs.ReadFile(o.FS, name)
		if err != nil || !bytes.Contains(template, []byte(placeholder)) {
			return err
		}
		rule, err := rules.In(list, filepath.Join(scratch, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("encrypting %s: %w", name, err)
		}
		plain, err := document.Plain(name, fill(template), rule)
		if err != nil {
			return fmt.Errorf("encrypting %s: %w", name, err)
		}
		if o.content[name], err = plain.Seal(ctx, &keyring.Ring{}); err != nil {
			return fmt.Errorf("encrypting %s: %w", name, err)
		}
		return nil
	})
}

// fill makes a secret of a template: a fresh value for each placeholder. Comments tell of the template.
func fill(template []byte) []byte {
	var filled []byte
	for line := range strings.Lines(string(template)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if before, after, found := strings.Cut(line, placeholder); found {
			line = before + rand.Text() + after
		}
		filled = append(filled, line...)
	}
	return filled
}
