package staged_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/secret/staged"
)

// git runs C git, so that what we read is what people's repositories look like.
func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func staging(t *testing.T, dir string) map[string]string {
	t.Helper()
	repository, err := staged.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := repository.Files()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, file := range files {
		reader, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		_ = reader.Close()
		found[file.Name] = string(content)
	}
	return found
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	write(t, dir, "first", "1")
	git(t, dir, "add", ".")
	if diff := cmp.Diff(map[string]string{"first": "1"}, staging(t, dir)); diff != "" {
		t.Errorf("before the first commit (-want +got):\n%s", diff)
	}
	write(t, dir, "deep/stays", "same")
	write(t, dir, "deep/changes", "old")
	write(t, dir, "goes", "x")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-q", "-m", "one")
	git(t, dir, "gc", "-q") // what is committed is in a pack now
	write(t, dir, "deep/changes", "staged")
	write(t, dir, "new", "added")
	git(t, dir, "add", ".")
	git(t, dir, "rm", "-q", "goes")
	write(t, dir, "deep/changes", "not staged")
	write(t, dir, "untracked", "x")
	want := map[string]string{"deep/changes": "staged", "new": "added"}
	for _, from := range []string{dir, filepath.Join(dir, "deep")} {
		if diff := cmp.Diff(want, staging(t, from)); diff != "" {
			t.Errorf("from %s (-want +got):\n%s", from, diff)
		}
	}
	git(t, dir, "update-index", "--index-version", "4")
	if diff := cmp.Diff(want, staging(t, dir)); diff != "" {
		t.Errorf("with an index of version 4 (-want +got):\n%s", diff)
	}
}

func TestWorktree(t *testing.T) {
	dir := t.TempDir()
	main, other := filepath.Join(dir, "main"), filepath.Join(dir, "other")
	write(t, main, "a", "1")
	git(t, main, "init", "-q", "-b", "main")
	git(t, main, "add", ".")
	git(t, main, "commit", "-q", "-m", "one")
	git(t, main, "worktree", "add", "-q", other)
	write(t, other, "b", "2")
	git(t, other, "add", ".")
	if diff := cmp.Diff(map[string]string{"b": "2"}, staging(t, other)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	repository, err := staged.Open(other)
	if err != nil {
		t.Fatal(err)
	}
	if hooks, err := repository.Hooks(); err != nil || hooks != filepath.Join(main, ".git", "hooks") {
		t.Errorf("got %s and %v, want the hooks that all working trees share", hooks, err)
	}
	git(t, main, "config", "core.hooksPath", ".hooks")
	repository, err = staged.Open(main)
	if err != nil {
		t.Fatal(err)
	}
	if hooks, err := repository.Hooks(); err != nil || hooks != filepath.Join(main, ".hooks") {
		t.Errorf("got %s and %v", hooks, err)
	}
}

func TestNone(t *testing.T) {
	if _, err := staged.Open(t.TempDir()); !errors.Is(err, staged.ErrNone) {
		t.Errorf("got %v", err)
	}
}
