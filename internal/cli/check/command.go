package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/cli/preview"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render"
)

// Outside is what the command needs of the program around it.
type Outside struct {
	Out, Err io.Writer
	// Reach returns how to reach the cluster that is meant.
	Reach func() (*rest.Config, error)
	// Opener returns what decrypts, with the keys in a file or where sops looks for them; it may be nil.
	Opener func(keyFile string) (render.Opener, error)
}

type flags struct {
	dir          string
	environments []string
	path         string
	sources      []string
	output       string
	server       bool
	version      string
	failOn       string
	ageKeyFile   string
}

// New makes the command.
func New(outside Outside) *cobra.Command {
	var f flags
	command := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Find what is wrong with a repository, before it is merged",
		Long: "Check builds what a repository would deliver, and looks at it as the controller does before a delivery:\n" +
			"schemas of all kinds, the rules of custom resources, references, secrets in plain text, APIs that go\n" +
			"away. It needs no cluster. DIR is the top of a repository; all its environments are checked.\n\n" +
			"It exits with 0 when all is well, with 1 when something was found, and with 3 when nothing was found\n" +
			"and something could not be judged.",
		Example: "  holdfast check\n  holdfast check ./platform --env dev --env prod\n  holdfast check --path kubernetes/flux/cluster -o sarif\n  holdfast check --server",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			f.dir = "."
			if len(args) == 1 {
				f.dir = args[0]
			}
			return run(command.Context(), outside, f)
		},
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
	}
	set := command.Flags()
	set.StringArrayVar(&f.environments, "env", nil, "environment to check: the folder clusters/NAME; may be given several times (default: all)")
	set.StringVar(&f.path, "path", "", "folder in the tree where to begin, in place of environments")
	set.StringArrayVar(&f.sources, "source", nil, "folder of another source, as [KIND/][NAMESPACE/]NAME=DIR")
	set.StringVarP(&f.output, "output", "o", "text", "output format: "+strings.Join(formats(), "|"))
	set.BoolVar(&f.server, "server", false, "have the cluster try everything, too, without keeping it (dry-run)")
	set.StringVar(&f.version, "kubernetes", "", "minor version of Kubernetes whose schemas count, as 1.35 (default: the newest that is known)")
	set.StringVar(&f.failOn, "fail-on", "warning", "least severity that makes the command fail: error|warning")
	set.StringVar(&f.ageKeyFile, "age-key-file", "", "file with age identities to decrypt with (default: where sops looks for them)")
	command.MarkFlagsMutuallyExclusive("path", "env")
	return command
}

func run(ctx context.Context, outside Outside, f flags) error {
	write, known := writers[f.output]
	if !known {
		return hinted(fmt.Errorf("there is no output format %q", f.output), "the formats are %s", strings.Join(formats(), ", "))
	}
	if f.failOn != string(finding.Error) && f.failOn != string(finding.Warning) {
		return hinted(fmt.Errorf("--fail-on is %q", f.failOn), "it is error or warning")
	}
	folder, err := preview.OpenFolder(ctx, f.dir)
	if err != nil {
		return hinted(err, "DIR is the top of a repository on this machine")
	}
	defer func() { _ = folder.Close() }()
	options := Options{Tree: folder, Version: f.version, Sources: map[preview.Source]tree.Tree{}}
	if options.Environments, err = f.places(folder); err != nil {
		return err
	}
	closers, err := openSources(ctx, f.sources, options.Sources)
	defer closers()
	if err != nil {
		return err
	}
	if options.Opener, err = outside.Opener(f.ageKeyFile); err != nil {
		return err
	}
	if f.server {
		if options.Cluster, err = connect(outside); err != nil {
			return err
		}
	}
	report, err := Run(ctx, options)
	if err != nil {
		return err
	}
	if err := write(report, outside.Out); err != nil {
		return err
	}
	return verdict(report, f.failOn)
}

func connect(outside Outside) (*kube.Cluster, error) {
	config, err := outside.Reach()
	if err != nil {
		return nil, err
	}
	return kube.Connect("", config, kube.Options{UserAgent: config.UserAgent})
}

// places says where to begin.
func (f flags) places(folder *preview.Folder) ([]Environment, error) {
	if f.path != "" {
		if !folder.Index().IsDir(f.path) {
			return nil, hinted(fmt.Errorf("the tree has no folder %s", f.path), "paths are relative to %s, the top of the tree", f.dir)
		}
		return []Environment{{Name: tree.Clean(f.path), Path: f.path}}, nil
	}
	if len(f.environments) == 0 {
		return Environments(folder), nil
	}
	var chosen []Environment
	known := preview.Environments(folder.Index())
	for _, name := range f.environments {
		if !slices.Contains(known, name) {
			return nil, hinted(&preview.EnvironmentError{Wanted: name, Known: known}, "an environment is a folder in clusters; --path begins anywhere")
		}
		chosen = append(chosen, Environment{name, path.Join("clusters", name)})
	}
	return chosen, nil
}

// openSources opens the folders of further sources. The function that it returns closes them.
func openSources(ctx context.Context, texts []string, into map[preview.Source]tree.Tree) (closers func(), err error) {
	var opened []*preview.Folder
	closers = func() {
		for _, one := range opened {
			_ = one.Close()
		}
	}
	for _, text := range texts {
		source, dir, err := preview.ParseSource(text)
		if err != nil {
			return closers, hinted(err, "write it as NAME=DIR, for example --source infra=../infra")
		}
		folder, err := preview.OpenFolder(ctx, dir)
		if err != nil {
			return closers, fmt.Errorf("opening the folder of source %s: %w", source.Name, err)
		}
		opened = append(opened, folder)
		into[source] = folder
	}
	return closers, nil
}

// Problem is an error with what to do next and the code to exit with.
type Problem struct {
	err  error
	hint string
	code int
}

// Error implements error.
func (p *Problem) Error() string { return p.err.Error() }

// Unwrap returns the error without the hint.
func (p *Problem) Unwrap() error { return p.err }

// Hint says what to do next.
func (p *Problem) Hint() string { return p.hint }

// ExitCode is what the program ends with.
func (p *Problem) ExitCode() int { return p.code }

func hinted(err error, format string, args ...any) error {
	return &Problem{err: err, hint: fmt.Sprintf(format, args...), code: codeFound}
}

// The codes to exit with, as for all commands.
const (
	codeFound   = 1
	codeUnknown = 3
)

// verdict chooses the exit code.
func verdict(report Report, failOn string) error {
	bad := report.count(finding.Error)
	if failOn == string(finding.Warning) {
		bad += report.count(finding.Warning)
	}
	switch {
	case bad > 0:
		return &Problem{err: errors.New("the check found " + report.Summary()), hint: "each line ends with what to do; docs/reference/rules.md explains the rules", code: codeFound}
	case report.Unknown:
		return &Problem{err: errors.New("something could not be judged"), hint: "the lines with build/not-evaluated say what is missing", code: codeUnknown}
	default:
		return nil
	}
}
