package cli

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"holdfast.dev/holdfast/internal/cli/table"
)

// Streams are where a command reads from and writes to.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// IsTerminal tells whether what is written to Out is read by a person on a terminal.
func (s Streams) IsTerminal() bool {
	_, is := terminal(s.Out)
	return is
}

// Width returns the terminal's width in characters, or 0 where Out is no terminal.
func (s Streams) Width() int {
	fd, is := terminal(s.Out)
	if !is {
		return 0
	}
	width, _, err := term.GetSize(fd)
	if err != nil {
		return 0
	}
	return width
}

// Colour tells whether colours are of use on Out: on a terminal that knows them, unless the person
// has asked all programs for none (no-color.org).
func (s Streams) Colour() bool {
	return s.IsTerminal() && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// lines tells whether line-drawing characters may be expected to show, as far as the locale says.
func (s Streams) lines() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(os.Getenv(name)); locale != "" {
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return false
}

// style is how tables look on Out.
func (s Streams) style() table.Style {
	return table.Style{Colour: s.Colour(), Width: s.Width()}
}

func terminal(stream io.Writer) (fd int, is bool) {
	file, ok := stream.(*os.File)
	if !ok {
		return 0, false
	}
	fd = int(file.Fd())
	return fd, term.IsTerminal(fd)
}
