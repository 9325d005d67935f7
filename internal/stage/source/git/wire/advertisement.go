package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// ErrEmpty says that the remote repository has no references.
var ErrEmpty = errors.New("the repository is empty")

// Ref is what a reference points at.
type Ref struct {
	// Hash is the object itself, which may be an annotated tag.
	Hash plumbing.Hash
	// Peeled is the object below the annotated tag; where there is none, it is Hash.
	Peeled plumbing.Hash
}

// Advertisement is what a remote shows of itself. It must not be modified.
type Advertisement struct {
	Refs         map[string]Ref // by full name; HEAD too
	capabilities map[string]string
}

// maxRefs is far above what real repositories have (one known outlier has 40,000 tags).
const maxRefs = 2_000_000

// Shallow tells whether the remote can send a commit without its history.
func (a *Advertisement) Shallow() bool { return a.can("shallow") }

// AnyCommit tells whether the remote lets us ask for a commit that no reference points at.
func (a *Advertisement) AnyCommit() bool {
	return a.can("allow-reachable-sha1-in-want") || a.can("allow-any-sha1-in-want")
}

func (a *Advertisement) can(capability string) bool {
	_, found := a.capabilities[capability]
	return found
}

// readAdvertisement reads references up to the flush that ends them.
func readAdvertisement(in io.Reader) (*Advertisement, error) {
	lines := &packets{in: in}
	line, end, err := lines.line()
	if err == nil && strings.HasPrefix(line, "# service=") { // HTTP's preamble and its own flush
		if _, end, err = lines.line(); err == nil && !end {
			return nil, errGarbage
		}
		line, end, err = lines.line()
	}
	if err != nil {
		return nil, err
	}
	if end {
		return nil, ErrEmpty
	}
	ad := &Advertisement{Refs: map[string]Ref{}}
	line, capabilities, _ := strings.Cut(line, "\x00")
	if ad.capabilities, err = readCapabilities(capabilities); err != nil {
		return nil, err
	}
	for !end {
		if err := ad.add(line); err != nil {
			return nil, err
		}
		if line, end, err = lines.line(); err != nil {
			return nil, err
		}
	}
	if len(ad.Refs) == 0 {
		return nil, ErrEmpty
	}
	return ad, nil
}

func readCapabilities(text string) (map[string]string, error) {
	capabilities := map[string]string{}
	for _, capability := range strings.Fields(text) {
		name, value, _ := strings.Cut(capability, "=")
		capabilities[name] = value
	}
	if format, found := capabilities["object-format"]; found && format != "sha1" {
		return nil, fmt.Errorf("the repository names its objects by %s; only sha1 is supported", printable(format))
	}
	return capabilities, nil
}

func (a *Advertisement) add(line string) error {
	if hash, found := strings.CutPrefix(line, "shallow "); found {
		if _, ok := parseHash(hash); !ok {
			return errGarbage
		}
		return nil // a shallow remote serves us as well as any, for what it has
	}
	text, name, found := strings.Cut(line, " ")
	hash, ok := parseHash(text)
	if !found || !ok || name == "" {
		return errGarbage
	}
	if name == "capabilities^{}" {
		return nil
	}
	if tag, peeled := strings.CutSuffix(name, "^{}"); peeled {
		ref, known := a.Refs[tag]
		if !known {
			return errGarbage
		}
		ref.Peeled = hash
		a.Refs[tag] = ref
		return nil
	}
	if len(a.Refs) >= maxRefs {
		return fmt.Errorf("the repository has more than %d references", maxRefs)
	}
	a.Refs[name] = Ref{Hash: hash, Peeled: hash}
	return nil
}
