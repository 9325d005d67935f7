package dirtree_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/store/dirtree"
)

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	full := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *dirtree.Tree {
	t.Helper()
	opened, err := dirtree.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

func TestOpenLeavesOutWhatIsNoContent(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "apps/web.yaml", "kind: A")
	write(t, dir, ".git/config", "secret")
	write(t, dir, "sub/.git", "gitdir: elsewhere")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	opened := open(t, dir)
	var paths []string
	for _, entry := range opened.Index().Entries() {
		paths = append(paths, entry.Path)
	}
	if diff := cmp.Diff(paths, []string{"apps/web.yaml"}); diff != "" {
		t.Errorf("files (-got +want):\n%s", diff)
	}
	if _, err := opened.Read("link.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading a link: got error %v, want not exist", err)
	}
	if _, err := opened.Read("../../etc/passwd"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading outside: got error %v, want not exist", err)
	}
}

func TestReadRefusesChangedContent(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", "one")
	opened := open(t, dir)
	before := opened.Digest()
	write(t, dir, "a.yaml", "two")
	if data, err := opened.Read("a.yaml"); err == nil {
		t.Errorf("got content %q of a file that changed, want an error", data)
	}
	again := open(t, dir)
	if again.Digest() == before {
		t.Error("the digest is the same after a change")
	}
	if data, err := again.Read("a.yaml"); err != nil || string(data) != "two" {
		t.Errorf("got %q, %v", data, err)
	}
}
