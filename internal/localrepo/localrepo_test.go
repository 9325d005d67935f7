package localrepo_test

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"holdfast.dev/holdfast/internal/localrepo"
)

// git runs Git itself, the client that everybody has, in a folder.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	command := exec.Command("git", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func newRepository(t *testing.T) (*localrepo.Repository, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	repository, err := localrepo.Create(dir, fstest.MapFS{
		"apps/web.yaml": {Data: []byte("one\n"), Mode: 0o644},
		"README.md":     {Data: []byte("hello\n"), Mode: 0o644},
	}, "first")
	if err != nil {
		t.Fatal(err)
	}
	return repository, dir
}

func commit(t *testing.T, dir, name, content string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", name)
	return git(t, dir, "rev-parse", "HEAD")
}

func TestServe(t *testing.T) {
	cases := map[string]struct {
		why   string
		clone []string
	}{
		"Whole":   {why: "a plain clone", clone: []string{"clone", "-q"}},
		"Shallow": {why: "the controller asks for one commit", clone: []string{"clone", "-q", "--depth", "1"}},
		"Two":     {why: "any depth is served", clone: []string{"clone", "-q", "--depth", "2"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			repository, dir := newRepository(t)
			commit(t, dir, "second", "2")
			commit(t, dir, "third", "3")
			server := httptest.NewServer(repository.Handler())
			defer server.Close()
			into := filepath.Join(t.TempDir(), "clone")
			git(t, ".", append(tc.clone, server.URL+"/repo", into)...)
			for _, change := range []string{"4", "5"} {
				want := commit(t, dir, "apps/web.yaml", change)
				git(t, into, "pull", "-q", "--ff-only")
				if got := git(t, into, "rev-parse", "HEAD"); got != want {
					t.Errorf("%s: after a pull the clone is at %s, want %s", tc.why, got, want)
				}
				git(t, into, "fsck", "--strict")
				if got, _ := os.ReadFile(filepath.Join(into, "apps/web.yaml")); string(got) != change {
					t.Errorf("%s: the clone has %q, want %q", tc.why, got, change)
				}
			}
			if git(t, into, "status", "--porcelain") != "" {
				t.Errorf("%s: the clone's work tree is not clean", tc.why)
			}
		})
	}
}

func TestServeAfterRewriteAndRepack(t *testing.T) {
	repository, dir := newRepository(t)
	commit(t, dir, "second", "2")
	server := httptest.NewServer(repository.Handler())
	defer server.Close()
	into := filepath.Join(t.TempDir(), "clone")
	git(t, ".", "clone", "-q", server.URL+"/repo", into)
	git(t, dir, "reset", "-q", "--hard", "HEAD~1")
	want := commit(t, dir, "other", "3")
	git(t, dir, "tag", "-a", "v1", "-m", "one")
	git(t, dir, "reflog", "expire", "--expire=now", "--all")
	git(t, dir, "gc", "-q", "--prune=now")
	git(t, into, "fetch", "-q", "--tags", "origin")
	if got := git(t, into, "rev-parse", "origin/main"); got != want {
		t.Errorf("after a rewrite the clone sees %s, want %s", got, want)
	}
	if got := git(t, into, "rev-parse", "v1^{commit}"); got != want {
		t.Errorf("the annotated tag leads to %s, want %s", got, want)
	}
}

func TestWatch(t *testing.T) {
	repository, dir := newRepository(t)
	ctx, cancel := context.WithCancel(t.Context())
	moved := make(chan struct{}, 100)
	ended := make(chan error, 1)
	go func() { ended <- repository.Watch(ctx, func() { moved <- struct{}{} }) }()
	// The watch stands at some moment; commits go on until it tells of one.
	deadline := time.After(30 * time.Second)
	for i := 0; ; i++ {
		commit(t, dir, "file", strings.Repeat("x", i+1))
		select {
		case <-moved:
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("the watch ended with %v", err)
			}
			return
		case <-time.After(100 * time.Millisecond):
		case <-deadline:
			t.Fatal("no commit was told within 30 s")
		}
	}
}

func TestOpen(t *testing.T) {
	_, dir := newRepository(t)
	empty := t.TempDir()
	git(t, empty, "init", "-q", "-b", "main")
	detached := filepath.Join(t.TempDir(), "detached")
	git(t, ".", "clone", "-q", dir, detached)
	git(t, detached, "checkout", "-q", "--detach")
	cases := map[string]struct {
		why, dir, wantErr string
	}{
		"Top":      {why: "the folder itself", dir: dir},
		"Below":    {why: "people stand anywhere in their repository", dir: filepath.Join(dir, "apps")},
		"None":     {why: "it says what to do", dir: t.TempDir(), wantErr: "it is not in a Git repository"},
		"NoCommit": {why: "there is nothing to deliver yet", dir: empty, wantErr: "it has no commit yet"},
		"Detached": {why: "a branch is what is delivered", dir: detached, wantErr: "no branch is checked out"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			repository, err := localrepo.Open(tc.dir)
			branch := ""
			if err == nil {
				branch, err = repository.Branch()
			}
			switch {
			case tc.wantErr == "" && (err != nil || branch != "main"):
				t.Errorf("%s: branch %q, error %v", tc.why, branch, err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Errorf("%s: error %v, want one that says %q", tc.why, err, tc.wantErr)
			}
		})
	}
}

func TestCreateRefusesAFullFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := localrepo.Create(dir, fstest.MapFS{}, "first"); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a folder with files in it was taken: %v", err)
	}
}
