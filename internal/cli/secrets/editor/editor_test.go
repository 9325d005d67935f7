package editor_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/cli/secrets/editor"
	"holdfast.dev/holdfast/internal/eventually"
)

func script(t *testing.T, body string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "editor")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return "'" + name + "'"
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEdit(t *testing.T) {
	dir := t.TempDir()
	// The editor checks for itself that nobody else can look, and leaves a file of its own beside the text.
	command := script(t, `test "$1" = -w && shift
test "$(stat -c %a "$1")" = 600 && test "$(stat -c %a "$(dirname "$1")")" = 700 || exit 1
cp "$1" "$1.swp"; printf 'after\n' >> "$1"`)
	session, err := editor.Editor{Command: command + " -w", Folders: []string{"relative", filepath.Join(dir, "missing"), dir}}.Begin("a/db.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := session.Edit(t.Context(), []byte("before\n"))
	if err != nil || string(got) != "before\nafter\n" {
		t.Errorf("got %q and %v", got, err)
	}
	if err := session.Close(); err != nil || len(entries(t, dir)) != 0 {
		t.Errorf("%v; left behind: %v", err, entries(t, dir))
	}
}

// TestEnd: when the program is told to end, the editor ends and nothing is left.
func TestEnd(t *testing.T) {
	dir := t.TempDir()
	started := filepath.Join(t.TempDir(), "started")
	session, err := editor.Editor{Command: script(t, "touch "+started+"; exec sleep 60"), Folders: []string{dir}}.Begin("x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := session.Edit(ctx, []byte("text"))
		ended <- errors.Join(err, session.Close())
	}()
	eventually.True(t, "the editor has started", func() bool {
		_, err := os.Stat(started)
		return err == nil
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left := entries(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestSweep: what a killed process left is removed by the next one, and only that.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	gone := exec.CommandContext(t.Context(), "true")
	if err := gone.Run(); err != nil {
		t.Skip("there is no program true")
	}
	stale := filepath.Join(dir, "holdfast-edit-"+strconv.Itoa(gone.Process.Pid)+"-1")
	alive := filepath.Join(dir, "holdfast-edit-"+strconv.Itoa(os.Getpid())+"-1")
	for _, name := range []string{stale, alive} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	session, err := editor.Editor{Command: "true", Folders: []string{dir}}.Begin("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
	if left := strings.Join(entries(t, dir), " "); left != alive {
		t.Errorf("left are %s, want only %s", left, alive)
	}
}

func TestCommand(t *testing.T) {
	env := map[string]string{"EDITOR": "nano", "VISUAL": "code --wait"}
	if got := editor.Command(func(name string) string { return env[name] }); got != "code --wait" {
		t.Errorf("got %q", got)
	}
	if got := editor.Command(func(string) string { return "" }); got != "vi" {
		t.Errorf("got %q", got)
	}
}
