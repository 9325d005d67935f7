package confine

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"

	"holdfast.dev/holdfast/internal/model/tree"
)

// Trace is everything that a build asked of a tree, with the answers. A build whose questions all
// have the same answers on another tree has the same result there.
type Trace struct {
	mu    sync.Mutex
	asked map[question]string
}

type question struct {
	kind byte
	path string
}

// The kinds of question. An answer is a hash, a letter of entryKind, or the digest of a list.
const (
	askContent  = 'c' // the hash of a file, or absent
	askKind     = 'k' // file, directory or absent
	askScan     = 's' // the manifests that a generated kustomization would list
	digestBytes = 16
)

// The kinds of path. Absent is also the hash of a file that is not there.
const (
	Absent   = "-"
	KindFile = "f"
	KindDir  = "d"
)

func newTrace() *Trace { return &Trace{asked: map[question]string{}} }

func (t *Trace) note(kind byte, path, answer string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.asked[question{kind, path}] = answer
	t.mu.Unlock()
}

// Len returns the number of questions.
func (t *Trace) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.asked)
}

// Files returns the paths of the files whose content was asked for, in no order.
func (t *Trace) Files() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var paths []string
	for q, answer := range t.asked {
		if q.kind == askContent && answer != Absent {
			paths = append(paths, q.path)
		}
	}
	return paths
}

// Holds tells whether a tree gives the same answers. It looks at names and hashes only.
func (t *Trace) Holds(index *tree.Index) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for q, answer := range t.asked {
		if answerOf(index, q) != answer {
			return false
		}
	}
	return true
}

func answerOf(index *tree.Index, q question) string {
	switch q.kind {
	case askContent:
		return contentHash(index, q.path)
	case askKind:
		return entryKind(index, q.path)
	default:
		return digestNames(scan(index, q.path))
	}
}

func contentHash(index *tree.Index, path string) string {
	if entry, found := index.Find(path); found {
		return entry.Hash
	}
	return Absent
}

func entryKind(index *tree.Index, path string) string {
	if _, found := index.Find(path); found {
		return KindFile
	}
	if index.IsDir(path) {
		return KindDir
	}
	return Absent
}

func digestNames(names []string) string {
	sum := sha256.Sum256([]byte(strings.Join(names, "\x00")))
	return hex.EncodeToString(sum[:digestBytes])
}

// Lacks returns what another trace asked about and this one did not, sorted. A path that is known to
// be no file needs no question for its content, and one whose content is known none for its kind.
func (t *Trace) Lacks(other *Trace) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var missing []string
	for q, answer := range other.asked {
		if kind, known := t.asked[question{askKind, q.path}]; answer == Absent && known && kind != KindFile {
			continue
		}
		if hash, known := t.asked[question{askContent, q.path}]; answer == KindFile && known && hash != Absent {
			continue
		}
		if _, asked := t.asked[q]; !asked {
			missing = append(missing, string(q.kind)+" "+q.path)
		}
	}
	slices.Sort(missing)
	return missing
}
