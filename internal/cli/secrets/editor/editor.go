package editor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/shlex"
)

// Editor is how to edit. Only Command has no default.
type Editor struct {
	// Command is the program with its arguments, as a shell would read it.
	Command  string
	In       io.Reader
	Out, Err io.Writer
	// Folders are where the private folder may be, best first; none means Folders of this machine.
	Folders []string
}

// Command returns the editor that an environment asks for.
func Command(env func(string) string) string {
	for _, name := range []string{"SOPS_EDITOR", "VISUAL", "EDITOR"} {
		if command := env(name); strings.TrimSpace(command) != "" {
			return command
		}
	}
	return "vi"
}

// Folders are where a private folder may be: in memory where there is such a place.
func Folders(env func(string) string) []string {
	return []string{env("XDG_RUNTIME_DIR"), "/dev/shm", os.TempDir()}
}

// Session is a text that is being edited. It has to be closed.
type Session struct {
	editor Editor
	dir    string
	file   string
}

// Begin makes the private folder. The name tells the editor what sort of text it is.
func (e Editor) Begin(name string) (*Session, error) {
	if len(e.Folders) == 0 {
		e.Folders = Folders(os.Getenv)
	}
	var problems []error
	for _, parent := range e.Folders {
		if !filepath.IsAbs(parent) {
			continue
		}
		sweep(parent)
		dir, err := os.MkdirTemp(parent, prefix+strconv.Itoa(os.Getpid())+"-") // with mode 0700
		if err != nil {
			problems = append(problems, err)
			continue
		}
		return &Session{editor: e, dir: dir, file: filepath.Join(dir, filepath.Base(name))}, nil
	}
	return nil, fmt.Errorf("making a private folder for the editor: %w", errors.Join(problems...))
}

// prefix begins the names of private folders; the number of the process follows.
const prefix = "holdfast-edit-"

// sweep removes what was left by processes that were killed: nothing else can have kept them from it.
func sweep(parent string) {
	left, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		process, err := strconv.Atoi(number)
		if err == nil && process > 0 && errors.Is(syscall.Kill(process, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir) // another person's folder stays: it cannot be removed
		}
	}
}

// Edit shows the text to the person and returns what he made of it. The folder is removed as soon as
// the context ends or the terminal goes away.
func (s *Session) Edit(ctx context.Context, text []byte) ([]byte, error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	words, err := shlex.Split(s.editor.Command)
	if err != nil || len(words) == 0 {
		return nil, fmt.Errorf("reading the editor's command %q: it is not written as for a shell", s.editor.Command)
	}
	if err := os.WriteFile(s.file, text, 0o600); err != nil {
		return nil, fmt.Errorf("writing the text for the editor: %w", err)
	}
	command := exec.CommandContext(ctx, words[0], append(words[1:], s.file)...)
	command.Stdin, command.Stdout, command.Stderr = s.editor.In, s.editor.Out, s.editor.Err
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("running the editor %s: %w", words[0], err)
	}
	edited, err := os.ReadFile(s.file)
	if err != nil {
		return nil, fmt.Errorf("reading what the editor wrote: %w", err)
	}
	return edited, nil
}

// Close removes the private folder with all that the editor left in it.
func (s *Session) Close() error {
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("removing the private folder %s, which holds plain text: %w", s.dir, err)
	}
	return nil
}
