// Package revision reads and writes the revision strings of sources, "main@sha1:5cb2…", as Flux's
// RFC-0005 defines them: a name, an at sign, and a digest with its algorithm. A commit that was
// asked for by its hash alone has no name: "sha1:5cb2…".
package revision

import "strings"

// Keys of an artifact's metadata by which a source of ours tells which commit a revision is.
const (
	AuthorKey    = "holdfast.dev/author"    // "Name <address>"
	TitleKey     = "holdfast.dev/title"     // first line of the message
	SignatureKey = "holdfast.dev/signature" // who signed it, where that was verified
)

// Join makes a revision string of a name (branch, tag or full reference, may be empty) and a digest
// with its algorithm ("sha1:…").
func Join(name, digest string) string {
	if name == "" {
		return digest
	}
	return name + "@" + digest
}

// Split is the opposite of Join. A string without a digest is all name.
func Split(revision string) (name, digest string) {
	if at := strings.LastIndex(revision, "@"); at >= 0 {
		return revision[:at], revision[at+1:]
	}
	if strings.Contains(revision, ":") {
		return "", revision
	}
	return revision, ""
}

// Short returns the revision with its digest cut to twelve digits, for people.
func Short(revision string) string {
	name, digest := Split(revision)
	algorithm, hex, found := strings.Cut(digest, ":")
	if !found {
		return revision
	}
	return Join(name, algorithm+":"+hex[:min(12, len(hex))])
}
