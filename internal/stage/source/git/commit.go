package git

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"holdfast.dev/holdfast/internal/stage/source/git/pack"
)

// commit is what we need to know of a commit object.
type commit struct {
	hash    plumbing.Hash
	tree    plumbing.Hash
	parents []plumbing.Hash
	author  string
	when    time.Time // of the committer
	subject string
	raw     []byte
}

const maxCommit = 1 << 20

func readCommit(store *pack.Store, hash plumbing.Hash) (commit, error) {
	kind, content, err := store.Read(hash, maxCommit)
	if err != nil {
		return commit{}, fmt.Errorf("reading commit %s: %w", hash, err)
	}
	if kind != plumbing.CommitObject {
		return commit{}, fmt.Errorf("reading commit %s: it is a %s", hash, kind)
	}
	parsed, err := parseCommit(string(content))
	if err != nil {
		return commit{}, fmt.Errorf("reading commit %s: %w", hash, err)
	}
	parsed.hash, parsed.raw = hash, content
	return parsed, nil
}

func parseCommit(content string) (commit, error) {
	var c commit
	head, message, _ := strings.Cut(content, "\n\n")
	lines := strings.Split(head, "\n")
	name, found := strings.CutPrefix(lines[0], "tree ")
	if !found || !plumbing.IsHash(name) {
		return c, fmt.Errorf("it names no tree")
	}
	c.tree = plumbing.NewHash(name)
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "parent":
			if !plumbing.IsHash(value) {
				return c, fmt.Errorf("it has a malformed parent")
			}
			c.parents = append(c.parents, plumbing.NewHash(value))
		case "author":
			c.author, _ = splitIdentity(value)
		case "committer":
			_, c.when = splitIdentity(value)
		}
	}
	c.subject, _, _ = strings.Cut(strings.TrimLeft(message, "\n"), "\n")
	return c, nil
}

// splitIdentity takes "Name <email> 1700000000 +0100" apart.
func splitIdentity(text string) (who string, when time.Time) {
	end := strings.LastIndex(text, ">")
	if end < 0 {
		return text, time.Time{}
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) == 0 {
		return text[:end+1], time.Time{}
	}
	seconds, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return text[:end+1], time.Time{}
	}
	return text[:end+1], time.Unix(seconds, 0).UTC()
}

// describe is the commit for people. What Git stored as bytes becomes text here.
func (c commit) describe() Commit {
	const longest = 500
	return Commit{
		Hash:    c.hash.String(),
		Author:  clip(c.author, longest),
		Subject: clip(c.subject, longest),
		When:    c.when,
	}
}

func clip(text string, longest int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	for i := range text {
		if i > longest {
			return text[:i] + "…"
		}
	}
	return text
}
