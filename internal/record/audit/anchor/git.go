package anchor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"holdfast.dev/holdfast/internal/record/audit"
)

// Ref is the reference whose commits hold one checkpoint each.
const Ref plumbing.ReferenceName = "refs/holdfast/audit"

// Git keeps each checkpoint that is published as a commit of a bare repository in a folder.
type Git struct {
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// String implements audit.Anchor.
func (g Git) String() string { return string(Ref) + " in " + g.Dir }

// open opens the repository, and makes it where the folder is missing or empty.
func (g Git) open() (*git.Repository, error) {
	repository, err := git.PlainOpen(g.Dir)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		repository, err = git.PlainInit(g.Dir, true)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the Git repository %s: %w", g.Dir, err)
	}
	return repository, nil
}

// Publish implements audit.Anchor. The commit before it is its parent, so that the history tells when a
// checkpoint came, and cannot be changed without changing all later commits.
func (g Git) Publish(_ context.Context, what audit.Anchored) error {
	repository, err := g.open()
	if err != nil {
		return err
	}
	if err := g.commit(repository.Storer, what); err != nil {
		return fmt.Errorf("writing %s: %w", g, err)
	}
	return nil
}

func (g Git) commit(store storer.Storer, what audit.Anchored) error {
	now := time.Now
	if g.Now != nil {
		now = g.Now
	}
	before, err := store.Reference(Ref)
	if err != nil && !errors.Is(err, plumbing.ErrReferenceNotFound) {
		return err
	}
	files := &object.Tree{}
	for _, file := range []struct{ name, content string }{{keyCheckpoint, what.Note}, {keyVerifier, what.Verifier + "\n"}} {
		hash, err := writeBlob(store, file.content)
		if err != nil {
			return err
		}
		files.Entries = append(files.Entries, object.TreeEntry{Name: file.name, Mode: filemode.Regular, Hash: hash})
	}
	tree, err := write(store, files)
	if err != nil {
		return err
	}
	by := object.Signature{Name: "Holdfast", Email: "audit@holdfast.dev", When: now()}
	commit := &object.Commit{Author: by, Committer: by, Message: "Checkpoint of the audit log\n", TreeHash: tree}
	if before != nil {
		commit.ParentHashes = []plumbing.Hash{before.Hash()}
	}
	hash, err := write(store, commit)
	if err != nil {
		return err
	}
	return store.CheckAndSetReference(plumbing.NewHashReference(Ref, hash), before)
}

func writeBlob(store storer.Storer, content string) (plumbing.Hash, error) {
	blob := store.NewEncodedObject()
	blob.SetType(plumbing.BlobObject)
	writer, err := blob.Writer()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if _, err := io.WriteString(writer, content); err != nil {
		return plumbing.ZeroHash, err
	}
	if err := writer.Close(); err != nil {
		return plumbing.ZeroHash, err
	}
	return store.SetEncodedObject(blob)
}

func write(store storer.Storer, what interface {
	Encode(into plumbing.EncodedObject) error
},
) (plumbing.Hash, error) {
	encoded := store.NewEncodedObject()
	if err := what.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return store.SetEncodedObject(encoded)
}

// Last implements audit.Anchor.
func (g Git) Last(context.Context) (audit.Anchored, error) {
	repository, err := git.PlainOpen(g.Dir)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return audit.Anchored{}, nil
	}
	if err != nil {
		return audit.Anchored{}, fmt.Errorf("opening the Git repository %s: %w", g.Dir, err)
	}
	last, err := repository.Reference(Ref, false)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return audit.Anchored{}, nil
	}
	if err != nil {
		return audit.Anchored{}, fmt.Errorf("reading %s: %w", g, err)
	}
	commit, err := repository.CommitObject(last.Hash())
	if err != nil {
		return audit.Anchored{}, fmt.Errorf("reading %s: %w", g, err)
	}
	kept := audit.Anchored{}
	for name, into := range map[string]*string{keyCheckpoint: &kept.Note, keyVerifier: &kept.Verifier} {
		file, err := commit.File(name)
		if err != nil {
			return audit.Anchored{}, fmt.Errorf("reading %s of %s: %w", name, g, err)
		}
		if *into, err = file.Contents(); err != nil {
			return audit.Anchored{}, fmt.Errorf("reading %s of %s: %w", name, g, err)
		}
	}
	return kept, nil
}
