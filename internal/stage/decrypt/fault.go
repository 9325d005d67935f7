package decrypt

import (
	"fmt"
	"strings"

	"holdfast.dev/holdfast/internal/model/sealed"
)

// Cause is why a box did not open.
type Cause int

// The causes.
const (
	// NoKey means that none of the keys at hand is one that the box was encrypted for.
	NoKey Cause = iota + 1
	// Damaged means that the box is not as SOPS left it.
	Damaged
	// Unavailable means that a key service could not be asked: another time it may work.
	Unavailable
	// Refused means that a key service said no.
	Refused
)

// Error says why a box did not open. Its text holds neither keys nor values.
type Error struct {
	Cause Cause
	text  string
}

// Error implements error.
func (e *Error) Error() string { return e.text }

// Passing tells whether the same box may open another time, with nothing changed that we could see: what a
// key service allows is decided there.
func (e *Error) Passing() bool { return e.Cause == Unavailable || e.Cause == Refused }

// Keyless tells whether all that is missing is a key.
func (e *Error) Keyless() bool { return e.Cause == NoKey }

func fail(cause Cause, box sealed.Box, format string, args ...any) *Error {
	return &Error{Cause: cause, text: "decrypting " + subject(box) + ": " + fmt.Sprintf(format, args...)}
}

func subject(box sealed.Box) string {
	switch {
	case box.Part != "" && box.Path != "":
		return box.Part + " in " + box.Path
	case box.Part != "":
		return box.Part
	case box.Path != "":
		return box.Path
	default:
		return "data"
	}
}

const (
	longestName = 80 // of a recipient that is shown as a whole
	mostNames   = 5
)

// shortened cuts the middle out of a long name: post-quantum recipients fill a page.
func shortened(name string) string {
	name = strings.Join(strings.Fields(name), " ")
	if len(name) <= longestName {
		return name
	}
	return name[:24] + "…" + name[len(name)-8:]
}

// list names a few things and counts the rest.
func list(names []string) string {
	shown := make([]string, 0, min(len(names), mostNames))
	for _, name := range names[:min(len(names), mostNames)] {
		shown = append(shown, shortened(name))
	}
	text := strings.Join(shown, ", ")
	if more := len(names) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
