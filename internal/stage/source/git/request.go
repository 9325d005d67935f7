package git

import (
	"context"
	"io"
	"time"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/git/wire"
)

// Reference selects a commit. The first field that is set wins, in this order: Commit, Name,
// SemVer, Tag, Branch; with none set it is the branch master (flux-contract 3.1). Commit together
// with Branch fetches that branch to find the commit.
type Reference struct {
	Branch string
	Tag    string
	SemVer string // a constraint over tag names, for example ">=1.0.0 <2.0.0"
	Name   string // a full reference, for example "refs/pull/7/head"
	Commit string // forty hex digits
}

// Auth is what a remote may ask of us. The zero value is anonymous.
type Auth struct {
	Username         redact.Text
	Password         redact.Text
	BearerToken      redact.Text
	Tokens           wire.Tokens  // for https; in place of Password, and it may change any time
	Identity         redact.Bytes // SSH private key, PEM
	IdentityPassword redact.Text
	KnownHosts       []byte       // SSH; required for ssh URLs
	CA               []byte       // PEM; replaces the system's roots for https
	ClientCert       redact.Bytes // PEM; mutual TLS
	ClientKey        redact.Bytes // PEM
}

// Proxy is an HTTP or SOCKS5 proxy for one remote.
type Proxy struct {
	URL      string
	Username redact.Text
	Password redact.Text
}

// Request asks for the state of a remote.
type Request struct {
	URL       string // http, https or ssh
	Reference Reference
	Auth      Auth
	Proxy     Proxy
	// Submodules asks for the files of submodules, recursively.
	Submodules bool
	// Sparse limits the files to these directories; empty means all.
	Sparse []string
	// Tag asks for the annotated tag that the reference names, if it names one.
	Tag bool
	// Known is the revision that the caller already has with the same options. When the remote
	// still has it, the result is Unchanged and nothing but references was transferred.
	Known string
	// Timeout bounds the whole request, whatever the remote does; 0 means 60 s.
	Timeout time.Duration
}

// Commit describes a commit for people and records.
type Commit struct {
	Hash    string // forty hex digits
	Author  string // "Name <email>"
	Subject string // first line of the message
	When    time.Time
}

// Result is the state of a remote at the moment of the request.
type Result struct {
	// Revision is the revision string of flux-contract 3.1, for example "main@sha1:…".
	Revision string
	// Unchanged says that Known is still current; Commit and Files are then empty.
	Unchanged bool
	Commit    Commit
	Files     Files
	// Objects are what signatures cover.
	Objects Objects
}

// Objects are a commit and the tag that led to it, byte by byte as Git stores them.
type Objects struct {
	Commit []byte
	// Tag is nil where the reference names no tag, or the request did not ask for it.
	Tag *Tag
}

// Tag is the tag that a reference names.
type Tag struct {
	Name    string // without refs/tags/
	Hash    string // of the tag's own object; of the commit where the tag has none
	Content []byte // nil where the tag has no object of its own, and so nothing that could be signed
}

// Files are the regular files of a commit. They are read from Git's object database, without a
// checkout. Close releases what they hold; they must not be used after it.
type Files interface {
	// Entries lists all files, submodules' files included, in any order.
	Entries(ctx context.Context) ([]tree.Entry, error)
	// Open reads the content of an entry that Entries returned.
	Open(entry tree.Entry) (io.ReadCloser, error)
	Close() error
}
