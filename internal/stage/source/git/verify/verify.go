package verify

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// Commit returns who signed a commit. hash is the one that the commit is delivered under.
func (k Keys) Commit(hash string, content []byte, now time.Time) (Signer, error) {
	if err := check(plumbing.CommitObject, hash, content); err != nil {
		return Signer{}, err
	}
	parsed, err := commitOf(content)
	if err != nil {
		return Signer{}, err
	}
	return k.verify(parsed, now)
}

// Tag is an annotated tag, and what it has to say.
type Tag struct {
	Hash    string
	Content []byte
	Name    string // of the reference without refs/tags/
	Commit  string // that is delivered
}

// Tag returns who signed a tag, and checks that the tag is of that name and for that commit: a signed tag
// that is given another name is an old release in the place of a new one.
func (k Keys) Tag(tag Tag, now time.Time) (Signer, error) {
	if err := check(plumbing.TagObject, tag.Hash, tag.Content); err != nil {
		return Signer{}, err
	}
	parsed, err := tagOf(tag.Content)
	if err != nil {
		return Signer{}, err
	}
	object, _ := find(parsed.headers, "object")
	kind, _ := find(parsed.headers, "type")
	name, _ := find(parsed.headers, "tag")
	switch {
	case kind != "commit":
		return Signer{}, errors.New("it does not name a commit")
	case object != tag.Commit:
		return Signer{}, errors.New("it names another commit than the one that is delivered")
	case name != tag.Name:
		return Signer{}, fmt.Errorf("it was made as tag '%s'", printable(name))
	}
	return k.verify(parsed, now)
}
