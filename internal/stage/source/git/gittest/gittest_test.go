package gittest_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

// clone lets C git read what the server serves.
func clone(t *testing.T, url string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "clone")
	cmd := exec.Command("git", "clone", "--quiet", url, dir)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cloning: %v\n%s", err, out)
	}
	return dir
}

func TestServerServesCommits(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{})
	repo := server.Repository(t, "team/platform")
	repo.Commit(t, map[string]string{"a/b.yaml": "b\n", "c d.txt": "c"})
	second := repo.Delete(t, "a")
	dir := clone(t, repo.URL())
	if _, err := os.Stat(filepath.Join(dir, "a")); !os.IsNotExist(err) {
		t.Errorf("deleted folder: got %v, want not to exist", err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "c d.txt"))
	if err != nil || string(content) != "c" {
		t.Errorf("got %q and %v, want c", content, err)
	}
	if got := repo.Hash(t, "refs/heads/main"); got != second {
		t.Errorf("got %s, want %s", got, second)
	}
	if server.Count("/info/refs") == 0 {
		t.Error("no request was counted")
	}
}

func TestCommitFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "run.sh"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("run.sh", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	repo := gittest.NewRepository(t)
	repo.Commit(t, map[string]string{"old": ""})
	repo.CommitFolder(t, dir)
	want := "120000 link\n100755 run.sh"
	if diff := cmp.Diff(want, repo.Git(t, "ls-tree", "--format=%(objectmode) %(path)", "main")); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestForcePushAndTags(t *testing.T) {
	repo := gittest.NewRepository(t)
	first := repo.Commit(t, map[string]string{"a": "1"})
	other := repo.Apply(t, gittest.Change{Files: map[string]string{"b": "2"}, Orphan: true})
	if got := repo.Git(t, "ls-tree", "--name-only", "main"); got != "b" {
		t.Errorf("after the force-push got files %q, want b", got)
	}
	tag := repo.AnnotatedTag(t, "v1", first)
	if tag == first || repo.Hash(t, "v1^{commit}") != first {
		t.Errorf("tag %s does not peel to %s", tag, first)
	}
	repo.Branch(t, "other", other)
	if !repo.Has(t, "refs/heads/other") {
		t.Error("branch is not there")
	}
}

func TestFaultsAndAuthentication(t *testing.T) {
	server := gittest.Serve(t, gittest.Options{Username: "u", Password: "p", TLS: true})
	repo := server.Repository(t, "r")
	get := func() int {
		request, err := http.NewRequest(http.MethodGet, repo.URL()+"/info/refs?service=git-upload-pack", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("u", "p")
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	if got := get(); got != http.StatusOK {
		t.Errorf("got %d, want 200", got)
	}
	server.Break(gittest.On("/info/refs", gittest.Status(http.StatusBadGateway, "away")))
	if got := get(); got != http.StatusBadGateway {
		t.Errorf("got %d, want 502", got)
	}
	server.Break(nil)
	if got := get(); got != http.StatusOK {
		t.Errorf("got %d, want 200", got)
	}
}
