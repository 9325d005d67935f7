package atomic_test

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast.dev/holdfast/internal/secret/atomic"
)

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := atomic.Write(name, []byte("one"), 0o640); err != nil || read(t, name) != "one" {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o604); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	// What a crash left, or what somebody else put there to be written through.
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("safe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, atomic.Beside(name)); err != nil {
		t.Fatal(err)
	}
	if err := atomic.Write(link, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(name)
	if err != nil || info.Mode().Perm() != 0o604 || read(t, name) != "two" {
		t.Errorf("got %v with %q and %v, want the mode kept", info.Mode(), read(t, name), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced, not what it leads to")
	}
	if read(t, victim) != "safe" {
		t.Error("another file was written")
	}
	if _, err := os.Lstat(atomic.Beside(name)); err == nil {
		t.Error("something was left beside it")
	}
	if err := atomic.Write(dir, []byte("x"), 0o600); err == nil {
		t.Error("a folder was written")
	}
}
