package git

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// tip is a commit that a cached repository holds with all its files, and with all its history
// where it is not shallow.
type tip struct {
	commit  plumbing.Hash
	shallow bool
}

// tips are in the order in which they came, oldest first.
type tips []tip

// The tips are stored as references, in the format of Git's own packed-refs, so that any Git tool
// can look into the cache. The number in a name is the position.
const (
	shallowRef = "refs/shallow/"
	wholeRef   = "refs/whole/"
)

func (t tips) encode() []byte {
	var out bytes.Buffer
	for i, tip := range t {
		prefix := wholeRef
		if tip.shallow {
			prefix = shallowRef
		}
		fmt.Fprintf(&out, "%s %s%06d\n", tip.commit, prefix, i)
	}
	return out.Bytes()
}

// shallows is the content of Git's file of that name.
func (t tips) shallows() []byte {
	var out bytes.Buffer
	for _, tip := range t {
		if tip.shallow {
			fmt.Fprintf(&out, "%s\n", tip.commit)
		}
	}
	return out.Bytes()
}

func decodeTips(content []byte) (tips, error) {
	var decoded tips
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		hash, name, found := strings.Cut(lines.Text(), " ")
		shallow := strings.HasPrefix(name, shallowRef)
		if !found || !plumbing.IsHash(hash) || (!shallow && !strings.HasPrefix(name, wholeRef)) {
			return nil, fmt.Errorf("reading the list of commits: malformed line %q", lines.Text())
		}
		decoded = append(decoded, tip{commit: plumbing.NewHash(hash), shallow: shallow})
	}
	return decoded, lines.Err()
}

// with returns a list that ends in the given tip. A commit that is whole stays whole.
func (t tips) with(added tip) tips {
	next := make(tips, 0, len(t)+1)
	for _, tip := range t {
		if tip.commit == added.commit {
			added.shallow = added.shallow && tip.shallow
			continue
		}
		next = append(next, tip)
	}
	return append(next, added)
}

func (t tips) has(commit plumbing.Hash) bool {
	for _, tip := range t {
		if tip.commit == commit {
			return true
		}
	}
	return false
}

// haves are what to tell the remote that we have: the newest commits, whole ones alone where the
// whole history is wanted.
func (t tips) haves(wholeOnly bool) []plumbing.Hash {
	const most = 32
	var haves []plumbing.Hash
	for i := len(t) - 1; i >= 0 && len(haves) < most; i-- {
		if !t[i].shallow || !wholeOnly {
			haves = append(haves, t[i].commit)
		}
	}
	return haves
}

// whole tells whether a commit is here with all its history.
func (t tips) whole(commit plumbing.Hash) bool {
	for _, tip := range t {
		if tip.commit == commit {
			return !tip.shallow
		}
	}
	return false
}
