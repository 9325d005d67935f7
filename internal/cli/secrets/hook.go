package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast.dev/holdfast/internal/secret/atomic"
	"holdfast.dev/holdfast/internal/secret/staged"
)

// hookLine is what a hook has to run.
const hookLine = "holdfast secrets check --staged"

const hook = "#!/bin/sh\n# Refuses commits with secrets in plain text. Made by `holdfast secrets init`.\nexec " + hookLine + "\n"

// addHook makes the hook for commits. A hook that is there is never changed.
func addHook(std Streams, repository *staged.Repository) error {
	dir, err := repository.Hooks()
	if err != nil {
		fmt.Fprintf(std.Err, "No hook was added: %s. Let your own hook run: %s\n", err, hookLine)
		return nil
	}
	name := filepath.Join(dir, "pre-commit")
	content, err := os.ReadFile(name)
	switch {
	case err == nil && strings.Contains(string(content), hookLine):
		fmt.Fprintln(std.Out, "The hook for commits is there already.")
		return nil
	case err == nil:
		fmt.Fprintf(std.Err, "%s is there already and stays as it is. Add this line to it: %s\n", name, hookLine)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("reading the hook for commits: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the folder of hooks: %w", err)
	}
	if err := atomic.Write(name, []byte(hook), 0o755); err != nil {
		return err
	}
	fmt.Fprintf(std.Out, "Added the hook %s, which checks each commit.\n", name)
	return nil
}
