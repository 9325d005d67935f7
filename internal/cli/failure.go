package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/cli/install"
	"holdfast.dev/holdfast/internal/cli/table"
)

// Exit codes. Scripts rely on them.
const (
	exitOK      = 0
	exitFailed  = 1 // the command failed, or found something wrong
	exitDiffers = 2 // two things differ, and the caller asked for a code that says so
	exitUnknown = 3 // something that was to be judged could not be evaluated
)

// failure is an error with what to do next and the code to exit with.
type failure struct {
	err  error
	hint string
	code int
}

// Error implements error.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns the error without the hint.
func (f *failure) Unwrap() error { return f.err }

// problem is an error of a part that knows itself what to do next and which code to exit with.
type problem interface {
	Hint() string
	ExitCode() int
}

// hinted adds to err what the person can do next. A nil err stays nil.
func hinted(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &failure{err: err, hint: fmt.Sprintf(format, args...), code: exitFailed}
}

// report writes err for a person and returns the exit code.
func report(out io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	var known *failure
	var other problem
	switch {
	case errors.As(err, &known):
	case errors.As(err, &other):
		known = &failure{hint: other.Hint(), code: other.ExitCode()}
	default:
		known = &failure{hint: hintFor(err), code: exitFailed}
	}
	fmt.Fprintf(out, "holdfast: %s\n", table.OneLine(strings.ReplaceAll(err.Error(), "\n", "; ")))
	if known.hint != "" {
		fmt.Fprintf(out, "hint: %s\n", known.hint)
	}
	return known.code
}

// hintFor knows what helps against the errors that any command may end in.
func hintFor(err error) string {
	var (
		notServed *fleet.NotServedError
		notFound  *fleet.NotFoundError
		ambiguous *fleet.AmbiguousError
		failed    *fleet.FailedError
		pending   *fleet.PendingError
		suspended *fleet.SuspendedError
		rival     *install.RivalError
		unknownCA x509.UnknownAuthorityError
		network   *net.OpError
	)
	switch {
	case errors.As(err, &notServed):
		return "the definitions are missing there; `holdfast up` brings a cluster up with all of them"
	case errors.As(err, &notFound):
		if notFound.Kinds[0].Role == fleet.Notice {
			return fmt.Sprintf("`holdfast get %s -A` lists what is there", notFound.Kinds[0].Plural)
		}
		return fmt.Sprintf("`holdfast get %ss -A` lists what is there", notFound.Kinds[0].Role)
	case errors.As(err, &ambiguous):
		return fmt.Sprintf("name one with its kind, for example %s", ambiguous.Found[0])
	case errors.As(err, &failed):
		return next("see what happened with `holdfast events %s %s`", failed.Resource)
	case errors.As(err, &pending):
		return next("it goes on without us; see it with `holdfast get %s %s`, or wait longer with --timeout", pending.Resource)
	case errors.As(err, &suspended):
		return next("take it up again with `holdfast resume %s %s`", suspended.Resource)
	case errors.As(err, &rival):
		return "scale them to zero first; docs/guides/migrating-from-flux.md tells how to move"
	case errors.Is(err, syscall.ECONNREFUSED), errors.As(err, &network):
		return "is the cluster running? `holdfast up` starts one; --kubeconfig and --context choose another"
	case errors.As(err, &unknownCA):
		return "the server's certificate does not belong to this kubeconfig; is it an old file?"
	case apierrors.IsUnauthorized(err):
		return "the credentials in the kubeconfig are not valid any more; get a new one, or choose another with --kubeconfig"
	case apierrors.IsForbidden(err):
		return "your user lacks the right; `kubectl auth can-i --list` shows what it may do"
	case errors.Is(err, context.Canceled):
		return ""
	}
	return ""
}

// next writes a hint that names a resource's kind, name and namespace as arguments.
func next(format string, resource fleet.Resource) string {
	name := resource.Object.GetName()
	if namespace := resource.Object.GetNamespace(); namespace != defaultNamespace() {
		name += " -n " + namespace
	}
	return fmt.Sprintf(format, resource.Kind.Word(), name)
}
