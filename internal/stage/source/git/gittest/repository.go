package gittest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// DefaultBranch is the branch that Commit writes to and HEAD names.
const DefaultBranch = "main"

// Repository is a bare repository on disk. Its methods fail the test on error; they may be called
// from several goroutines.
type Repository struct {
	// Dir is the bare repository's folder.
	Dir  string
	name string
	base string // URL prefix of the server that serves it; empty without one

	mu    sync.Mutex
	clock time.Time // moves on by a minute with each commit, so that hashes are reproducible
}

// Change is one commit in detail. The zero value is an empty commit on DefaultBranch.
type Change struct {
	Branch  string            // "" means DefaultBranch
	Files   map[string]string // path to content; written as regular files
	Modes   map[string]string // path to Git mode ("100755", "120000") where it is not "100644"
	Links   map[string]string // path to commit hash: submodule entries
	Delete  []string          // files or folders
	Message string            // "" means "change"
	Author  string            // "" means "Test <test@example.org>"
	When    time.Time         // zero means a minute after the last commit
	// Orphan starts anew: no parent, no file of the branch's last commit. On a branch that
	// exists it is a force-push.
	Orphan bool
	// Parent replaces the branch's tip as the parent, which is a force-push, too.
	Parent string
}

// NewRepository makes an empty bare repository that no server serves.
func NewRepository(t testing.TB) *Repository {
	t.Helper()
	return create(t, filepath.Join(t.TempDir(), "repository.git"))
}

func create(t testing.TB, dir string) *Repository {
	t.Helper()
	repo := &Repository{Dir: dir, clock: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	run(t, nil, "init", "--quiet", "--bare", "--initial-branch="+DefaultBranch, dir)
	return repo
}

// URL returns the address of the repository at the HTTP server that made it.
func (r *Repository) URL() string { return r.base + "/" + r.name + ".git" }

// Name is what the servers call the repository: its URL path without the slash and ".git".
func (r *Repository) Name() string { return r.name }

// Commit adds or replaces files on DefaultBranch and returns the new commit's hash.
func (r *Repository) Commit(t testing.TB, files map[string]string) string {
	t.Helper()
	return r.Apply(t, Change{Files: files})
}

// Delete removes files or folders on DefaultBranch in a commit and returns its hash.
func (r *Repository) Delete(t testing.TB, paths ...string) string {
	t.Helper()
	return r.Apply(t, Change{Delete: paths})
}

// CommitFolder makes the content of a folder on disk the whole content of DefaultBranch and returns
// the commit's hash. Symbolic links and executable bits are kept; a .git folder is left out.
func (r *Repository) CommitFolder(t testing.TB, dir string) string {
	t.Helper()
	change := Change{Files: map[string]string{}, Modes: map[string]string{}}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if err == nil && entry.Name() == ".git" {
				return filepath.SkipDir
			}
			return err
		}
		return readInto(&change, dir, path, entry)
	})
	if err != nil {
		t.Fatalf("reading folder %s: %v", dir, err)
	}
	if r.Has(t, "refs/heads/"+DefaultBranch) {
		change.Delete = []string{""}
	}
	return r.Apply(t, change)
}

func readInto(change *Change, dir, path string, entry os.DirEntry) error {
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	name = filepath.ToSlash(name)
	if entry.Type()&os.ModeSymlink != 0 {
		target, err := os.Readlink(path)
		change.Files[name], change.Modes[name] = target, "120000"
		return err
	}
	info, err := entry.Info()
	if err != nil {
		return err
	}
	if info.Mode()&0o111 != 0 {
		change.Modes[name] = "100755"
	}
	content, err := os.ReadFile(path)
	change.Files[name] = string(content)
	return err
}

// Apply makes one commit and returns its hash.
func (r *Repository) Apply(t testing.TB, change Change) string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(time.Minute)
	if change.When.IsZero() {
		change.When = r.clock
	}
	if change.Branch == "" {
		change.Branch = DefaultBranch
	}
	if change.Author == "" {
		change.Author = "Test <test@example.org>"
	}
	if change.Message == "" {
		change.Message = "change"
	}
	ref := "refs/heads/" + change.Branch
	tip := ""
	if r.Has(t, ref) {
		tip = ref + "^0"
	}
	run(t, change.stream(ref, tip), "-C", r.Dir, "fast-import", "--quiet", "--force", "--date-format=raw")
	return r.Hash(t, ref)
}

// stream is the change in the language of git-fast-import. The tip of a new branch is empty.
func (c Change) stream(ref, tip string) []byte {
	var out bytes.Buffer
	if c.Orphan && tip != "" {
		fmt.Fprintf(&out, "reset %s\n\n", ref)
	}
	fmt.Fprintf(&out, "commit %s\n", ref)
	fmt.Fprintf(&out, "author %s %d +0000\n", c.Author, c.When.Unix())
	fmt.Fprintf(&out, "committer %s %d +0000\n", c.Author, c.When.Unix())
	fmt.Fprintf(&out, "data %d\n%s\n", len(c.Message), c.Message)
	switch {
	case c.Orphan:
	case c.Parent != "":
		fmt.Fprintf(&out, "from %s\n", c.Parent)
	case tip != "":
		fmt.Fprintf(&out, "from %s\n", tip)
	}
	for _, path := range c.Delete {
		if path == "" {
			fmt.Fprintf(&out, "deleteall\n")
			continue
		}
		fmt.Fprintf(&out, "D %s\n", quote(path))
	}
	for _, path := range sortedKeys(c.Files) {
		mode := c.Modes[path]
		if mode == "" {
			mode = "100644"
		}
		fmt.Fprintf(&out, "M %s inline %s\ndata %d\n%s\n", mode, quote(path), len(c.Files[path]), c.Files[path])
	}
	for _, path := range sortedKeys(c.Links) {
		fmt.Fprintf(&out, "M 160000 %s %s\n", c.Links[path], quote(path))
	}
	return out.Bytes()
}

func quote(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path) + `"`
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Branch points a branch at a commit, whatever it pointed at before.
func (r *Repository) Branch(t testing.TB, name, commit string) {
	t.Helper()
	r.SetRef(t, "refs/heads/"+name, commit)
}

// Tag points a lightweight tag at a commit, whatever it pointed at before.
func (r *Repository) Tag(t testing.TB, name, commit string) {
	t.Helper()
	r.SetRef(t, "refs/tags/"+name, commit)
}

// AnnotatedTag makes (or replaces) a tag object for a commit, and returns the tag object's hash.
func (r *Repository) AnnotatedTag(t testing.TB, name, commit string) string {
	t.Helper()
	r.Git(t, "tag", "--force", "--annotate", "--message", "tag "+name, name, commit)
	return r.Hash(t, "refs/tags/"+name)
}

// SetRef points any full reference at an object.
func (r *Repository) SetRef(t testing.TB, ref, hash string) {
	t.Helper()
	r.Git(t, "update-ref", ref, hash)
}

// DeleteRef removes a full reference.
func (r *Repository) DeleteRef(t testing.TB, ref string) {
	t.Helper()
	r.Git(t, "update-ref", "-d", ref)
}

// Hash returns what a revision expression names.
func (r *Repository) Hash(t testing.TB, expression string) string {
	t.Helper()
	return r.Git(t, "rev-parse", "--verify", expression)
}

// Has tells whether a full reference exists.
func (r *Repository) Has(t testing.TB, ref string) bool {
	t.Helper()
	return command(nil, "-C", r.Dir, "show-ref", "--verify", "--quiet", ref).Run() == nil
}

// Git runs any git command in the repository and returns its trimmed output.
func (r *Repository) Git(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, nil, append([]string{"-C", r.Dir}, args...)...)
}

// Object writes a raw object, without any of git's checks, and returns its hash. It is for
// repositories that git itself would refuse to write.
func (r *Repository) Object(t testing.TB, kind string, content []byte) string {
	t.Helper()
	return run(t, content, "-C", r.Dir, "hash-object", "-t", kind, "-w", "--literally", "--stdin")
}

func run(t testing.TB, stdin []byte, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	var stdout, stderr bytes.Buffer
	cmd := command(stdin, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("running git %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

func command(stdin []byte, args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), environment()...)
	cmd.Stdin = bytes.NewReader(stdin)
	return cmd
}

// environment keeps the machine's and the user's Git configuration out of tests.
func environment() []string {
	return []string{
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Test", "GIT_AUTHOR_EMAIL=test@example.org",
		"GIT_COMMITTER_NAME=Test", "GIT_COMMITTER_EMAIL=test@example.org",
		"GIT_AUTHOR_DATE=2026-01-01T12:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T12:00:00Z",
		"GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_CONFIG_KEY_1=gc.auto", "GIT_CONFIG_VALUE_1=0",
	}
}
