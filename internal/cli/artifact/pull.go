package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/oci"
)

// pulled is what was pulled.
type pulled struct {
	name, source, revision string
	files                  int
}

func pull(ctx context.Context, r registry, address, folder string) (result pulled, err error) {
	reference, err := r.parse(address)
	if err != nil {
		return result, err
	}
	request := oci.Request{URL: oci.Scheme + reference.Context().Name(), Insecure: r.insecure}
	if _, digest := reference.(name.Digest); digest {
		request.Reference.Digest = reference.Identifier()
	} else {
		request.Reference.Tag = reference.Identifier()
	}
	if request.Login, err = r.loginOf(reference.Context()); err != nil {
		return result, err
	}
	fetcher := oci.New(oci.Options{Scratch: scratch})
	found, err := fetcher.Resolve(ctx, request)
	if err != nil {
		return result, err
	}
	content, err := fetcher.Pull(ctx, found, oci.Layer{})
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	result = pulled{
		name: strings.TrimSuffix(found.Shown, "@"+found.Digest) + "@" + found.Digest, files: len(content.Files.Entries()),
		source: content.Annotations[oci.SourceKey], revision: content.Annotations[oci.RevisionKey],
	}
	return result, write(content, folder)
}

func (r *registry) loginOf(repository name.Repository) (*oci.Login, error) {
	authenticator, err := r.login(repository)
	if err != nil {
		return nil, err
	}
	held, err := authenticator.Authorization()
	if err != nil {
		return nil, fmt.Errorf("reading docker's login: %w", err)
	}
	return &oci.Login{
		Username: redact.Text(held.Username), Password: redact.Text(held.Password),
		Identity: redact.Text(held.IdentityToken), Bearer: redact.Text(held.RegistryToken),
	}, nil
}

// scratch makes a file that goes when it is closed, where the system allows that.
func scratch() (*os.File, error) {
	file, err := os.CreateTemp("", "holdfast-")
	if err == nil {
		_ = os.Remove(file.Name())
	}
	return file, err
}

// write puts the files into a folder, and nothing outside of it whatever links are in there.
func write(content *oci.Content, folder string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for _, entry := range content.Files.Entries() {
		if err := writeOne(root, content, entry); err != nil {
			return fmt.Errorf("writing %s: %w", entry.Path, err)
		}
	}
	return nil
}

func writeOne(root *os.Root, content *oci.Content, entry tree.Entry) error {
	from, err := content.Files.Open(entry)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	name := filepath.FromSlash(entry.Path)
	if err := root.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if entry.Mode&0o111 != 0 {
		mode = 0o755
	}
	to, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
