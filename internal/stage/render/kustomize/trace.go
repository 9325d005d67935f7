package kustomize

import (
	"crypto/sha256"
	"encoding/hex"
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
	absent      = "-"
	kindFile    = "f"
	kindDir     = "d"
	digestBytes = 16
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
		if q.kind == askContent && answer != absent {
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
	return absent
}

func entryKind(index *tree.Index, path string) string {
	if _, found := index.Find(path); found {
		return kindFile
	}
	if index.IsDir(path) {
		return kindDir
	}
	return absent
}

func digestNames(names []string) string {
	sum := sha256.Sum256([]byte(strings.Join(names, "\x00")))
	return hex.EncodeToString(sum[:digestBytes])
}
