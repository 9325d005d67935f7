package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holdfast.dev/holdfast/internal/cli/table"
	"holdfast.dev/holdfast/internal/secret/scan"
	"holdfast.dev/holdfast/internal/secret/staged"
)

type checkFlags struct {
	staged bool
	output string
	paths  []string
}

// maxScanned bounds what is looked through of one file.
const maxScanned = 64 << 20

func newCheckCommand(std Streams) *cobra.Command {
	var flags checkFlags
	command := &cobra.Command{
		Use:   "check [PATH...]",
		Short: "Find secrets in plain text, in files or in the staged change",
		Long: "Check looks for Secrets of Kubernetes with values that are not encrypted, private keys, tokens of\n" +
			"known shapes, passwords in addresses, and values that look random under names that look secret. What\n" +
			"it finds is named by file and line; the value is never shown.\n\n" +
			"A line is allowed by a comment on it or above it: holdfast:allow-secret REASON.\n\n" +
			"It exits with 1 when something was found, and with 3 when a file could not be judged.",
		Example: "  holdfast secrets check\n  holdfast secrets check --staged        # what the next commit would hold, for a hook\n  holdfast secrets check clusters -o json",
		RunE: func(command *cobra.Command, args []string) error {
			flags.paths = args
			return runCheck(command.Context(), std, flags)
		},
	}
	set := command.Flags()
	set.BoolVar(&flags.staged, "staged", false, "look at what is staged in Git for the next commit")
	registerOutput(command, &flags.output)
	return command
}

// registerOutput adds the flag -o json.
func registerOutput(command *cobra.Command, output *string) {
	command.Flags().StringVarP(output, "output", "o", "", "output format: json")
}

func checkOutput(output string) error {
	if output != "" && output != "json" {
		return errors.New("the only format of -o is json")
	}
	return nil
}

// writeJSON prints a value for programs.
func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// text is something to look through.
type text struct {
	name string
	open func() (io.ReadCloser, error)
}

// report is what a check came to.
type report struct {
	Files    int            `json:"files"`
	Findings []scan.Finding `json:"findings"`
	Unknown  []string       `json:"unknown,omitempty"` // files that could not be judged, with the reason
}

func runCheck(ctx context.Context, std Streams, flags checkFlags) error {
	if err := checkOutput(flags.output); err != nil {
		return err
	}
	texts, err := flags.texts()
	if err != nil {
		return err
	}
	found, err := look(ctx, texts)
	if err != nil {
		return err
	}
	if flags.output == "json" {
		if err := writeJSON(std.Out, found); err != nil {
			return err
		}
	} else {
		for _, one := range found.Findings {
			fmt.Fprintf(std.Out, "%s:%d: %s (%s)\n", table.OneLine(one.File), one.Line, table.OneLine(one.Message), one.Rule)
		}
		for _, one := range found.Unknown {
			fmt.Fprintln(std.Err, table.OneLine(one))
		}
	}
	switch {
	case len(found.Findings) > 0:
		return hinted(fmt.Errorf("found secrets in plain text: %d in %d files", len(found.Findings), found.Files),
			"`holdfast secrets encrypt FILE` encrypts a file; `%s REASON` in a comment allows a line. What was pushed already has to be replaced at its source", "holdfast:allow-secret")
	case len(found.Unknown) > 0:
		return &Problem{err: fmt.Errorf("could not judge %d of %d files", len(found.Unknown), found.Files), code: codeUnknown}
	case flags.output == "":
		fmt.Fprintf(std.Out, "No secret in plain text in %d files.\n", found.Files)
	}
	return nil
}

func (f checkFlags) texts() ([]text, error) {
	if f.staged {
		return stagedTexts(f.paths)
	}
	paths := f.paths
	if len(paths) == 0 {
		paths = []string{"."}
	}
	var texts []text
	err := walk(paths, func(name string, _ fs.DirEntry) error {
		texts = append(texts, text{name: name, open: func() (io.ReadCloser, error) { return os.Open(name) }})
		return nil
	})
	return texts, err
}

// stagedTexts lists what is staged, below some paths where any are named.
func stagedTexts(paths []string) ([]text, error) {
	repository, err := staged.Open(".")
	if err != nil {
		return nil, hinted(err, "--staged looks at the Git repository of the folder that you are in")
	}
	files, err := repository.Files()
	if err != nil {
		return nil, err
	}
	var within []string
	for _, path := range paths {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		inside, err := filepath.Rel(repository.Root(), absolute)
		if err != nil {
			return nil, err
		}
		within = append(within, filepath.ToSlash(inside))
	}
	var texts []text
	for _, file := range files {
		if len(within) == 0 || slices.ContainsFunc(within, func(dir string) bool {
			return dir == "." || file.Name == dir || strings.HasPrefix(file.Name, dir+"/")
		}) {
			texts = append(texts, text{name: file.Name, open: file.Open})
		}
	}
	return texts, nil
}

// look looks through texts, some at a time.
func look(ctx context.Context, texts []text) (report, error) {
	findings, unknown := make([][]scan.Finding, len(texts)), make([]string, len(texts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	const batch = 32 // one file is too little to be worth a goroutine
	for from := 0; from < len(texts); from += batch {
		group.Go(func() error {
			for i := from; i < min(from+batch, len(texts)); i++ {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				var err error
				if findings[i], err = texts[i].look(); err != nil {
					unknown[i] = fmt.Sprintf("%s: %s", texts[i].name, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return report{}, err
	}
	found := report{Files: len(texts), Findings: []scan.Finding{}}
	for i := range texts {
		found.Findings = append(found.Findings, findings[i]...)
		if unknown[i] != "" {
			found.Unknown = append(found.Unknown, unknown[i])
		}
	}
	return found, nil
}

func (t text) look() ([]scan.Finding, error) {
	reader, err := t.open()
	if err != nil {
		return nil, bare(err)
	}
	defer func() { _ = reader.Close() }()
	content, err := io.ReadAll(io.LimitReader(reader, maxScanned+1))
	if err != nil {
		return nil, bare(err)
	}
	if len(content) > maxScanned {
		return nil, fmt.Errorf("it is larger than %d MiB", maxScanned>>20)
	}
	return scan.Content(t.name, content)
}
