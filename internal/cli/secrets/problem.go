package secrets

import (
	"errors"
	"fmt"

	"holdfast.dev/holdfast/internal/secret/document"
	"holdfast.dev/holdfast/internal/secret/rules"
)

// Problem is an error with what to do next and the code to exit with.
type Problem struct {
	err  error
	hint string
	code int
}

// The codes to exit with, as for all commands.
const (
	codeFailed  = 1
	codeUnknown = 3
)

// Error implements error.
func (p *Problem) Error() string { return p.err.Error() }

// Unwrap returns the error without the hint.
func (p *Problem) Unwrap() error { return p.err }

// Hint says what to do next.
func (p *Problem) Hint() string { return p.hint }

// ExitCode is what the program ends with.
func (p *Problem) ExitCode() int { return p.code }

func hinted(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Problem{err: err, hint: fmt.Sprintf(format, args...), code: codeFailed}
}

// explain adds to an error about a file its name, and what helps.
func explain(file string, err error) error {
	if err == nil {
		return nil
	}
	var known *Problem
	if errors.As(err, &known) {
		return err
	}
	var missing *document.KeyError
	wrapped := fmt.Errorf("%s: %w", file, err)
	switch {
	case errors.As(err, &missing):
		return hinted(wrapped, "%s", missing.Hint())
	case errors.Is(err, document.ErrPlain):
		return hinted(wrapped, "encrypt it first with `holdfast secrets encrypt %s`", file)
	case errors.Is(err, document.ErrEncrypted):
		return hinted(wrapped, "change it with `holdfast secrets edit %s`", file)
	case errors.Is(err, document.ErrTampered):
		return hinted(wrapped, "get the file back from Git; if a merge made it, take one side and make the other side's change again")
	case errors.Is(err, rules.ErrNoFile):
		return hinted(wrapped, "`holdfast secrets init` makes a key for each environment and the rules")
	case errors.Is(err, rules.ErrNoRule):
		return hinted(wrapped, "add a rule whose path_regex matches it, or put it below clusters/NAME of an environment that `holdfast secrets init` knows")
	case errors.Is(err, document.ErrUnmatched):
		return hinted(wrapped, "the rule's encrypted_regex matches none of its keys; give the file a rule of its own before that one in %s", rules.Name)
	}
	return wrapped
}
