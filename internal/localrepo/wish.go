package localrepo

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
)

// wish is what a client asks for.
type wish struct {
	want, have []plumbing.Hash
	shallow    map[plumbing.Hash]bool // commits whose parents the client does not have
	depth      int                    // 0 is all history
	done       bool
}

// readWish reads the request of a fetch (gitprotocol-pack: upload-request, upload-haves).
func readWish(from io.Reader) (wish, error) {
	w := wish{shallow: map[plumbing.Hash]bool{}}
	lines := pktline.NewScanner(from)
	for lines.Scan() {
		line := strings.TrimSuffix(string(lines.Bytes()), "\n")
		if line == "" {
			continue // a flush between the parts
		}
		verb, rest, _ := strings.Cut(line, " ")
		argument, _, _ := strings.Cut(rest, " ") // the first want is followed by capabilities
		if err := w.add(verb, argument); err != nil {
			return wish{}, err
		}
	}
	if err := lines.Err(); err != nil {
		return wish{}, err
	}
	if len(w.want) == 0 {
		return wish{}, errors.New("nothing is wanted")
	}
	return w, nil
}

func (w *wish) add(verb, argument string) error {
	switch verb {
	case "done":
		w.done = true
		return nil
	case "deepen":
		depth, err := strconv.Atoi(argument)
		if err != nil || depth < 0 {
			return fmt.Errorf("deepen %q: not a number", argument)
		}
		w.depth = depth
		return nil
	}
	if !plumbing.IsHash(argument) {
		return fmt.Errorf("line %q is not understood", verb)
	}
	hash := plumbing.NewHash(argument)
	switch verb {
	case "want":
		w.want = append(w.want, hash)
	case "have":
		w.have = append(w.have, hash)
	case "shallow":
		w.shallow[hash] = true
	default:
		return fmt.Errorf("line %q is not understood", verb)
	}
	return nil
}
