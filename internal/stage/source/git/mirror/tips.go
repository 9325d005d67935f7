package mirror

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Tip is a commit that a cached repository holds with all its files, and with all its history
// where it is not shallow.
type Tip struct {
	Commit  plumbing.Hash
	Shallow bool
}

// Tips are in the order in which they came, oldest first.
type Tips []Tip

// The tips are stored as references, in the format of Git's own packed-refs, so that any Git tool
// can look into the cache. The number in a name is the position.
const (
	shallowRef = "refs/shallow/"
	wholeRef   = "refs/whole/"
)

func (t Tips) encode() []byte {
	var out bytes.Buffer
	for i, tip := range t {
		prefix := wholeRef
		if tip.Shallow {
			prefix = shallowRef
		}
		fmt.Fprintf(&out, "%s %s%06d\n", tip.Commit, prefix, i)
	}
	return out.Bytes()
}

// shallows is the content of Git's file of that name.
func (t Tips) shallows() []byte {
	var out bytes.Buffer
	for _, tip := range t {
		if tip.Shallow {
			fmt.Fprintf(&out, "%s\n", tip.Commit)
		}
	}
	return out.Bytes()
}

func decodeTips(content []byte) (Tips, error) {
	var decoded Tips
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		hash, name, found := strings.Cut(lines.Text(), " ")
		shallow := strings.HasPrefix(name, shallowRef)
		if !found || !plumbing.IsHash(hash) || (!shallow && !strings.HasPrefix(name, wholeRef)) {
			return nil, fmt.Errorf("reading the list of commits: malformed line %q", lines.Text())
		}
		decoded = append(decoded, Tip{Commit: plumbing.NewHash(hash), Shallow: shallow})
	}
	return decoded, lines.Err()
}

// with returns a list that ends in the given tip. A commit that is whole stays whole.
func (t Tips) with(added Tip) Tips {
	next := make(Tips, 0, len(t)+1)
	for _, tip := range t {
		if tip.Commit == added.Commit {
			added.Shallow = added.Shallow && tip.Shallow
			continue
		}
		next = append(next, tip)
	}
	return append(next, added)
}

func (t Tips) has(commit plumbing.Hash) bool {
	for _, tip := range t {
		if tip.Commit == commit {
			return true
		}
	}
	return false
}

// Haves are what to tell the remote that we have: the newest commits.
func (t Tips) Haves() []plumbing.Hash {
	const most = 32
	var haves []plumbing.Hash
	for i := len(t) - 1; i >= 0 && len(haves) < most; i-- {
		haves = append(haves, t[i].Commit)
	}
	return haves
}

// WithHistory are those whose whole history is here.
func (t Tips) WithHistory() Tips {
	return slices.DeleteFunc(slices.Clone(t), func(tip Tip) bool { return tip.Shallow })
}

// Whole tells whether a commit is here with all its history.
func (t Tips) Whole(commit plumbing.Hash) bool {
	for _, tip := range t {
		if tip.Commit == commit {
			return !tip.Shallow
		}
	}
	return false
}
