package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/preview"
	"holdfast.dev/holdfast/internal/cli/table"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render"
	"holdfast.dev/holdfast/internal/stage/render/chart"
)

type buildFlags struct {
	dir          string
	unit         string // empty means all
	path         string
	pathSet      bool
	environment  string
	manifests    []string
	sources      []string
	allowMissing bool
	ageKeyFile   string
	showSecrets  bool
	output       output
}

func newBuildCommand(std Streams) *cobra.Command {
	flags := buildFlags{output: outputYAML}
	command := &cobra.Command{
		Use:   "build [DIR] [UNIT]",
		Short: "Build what a repository delivers, without a cluster",
		Long: "Build renders what a repository on this machine would deliver, as the controller does: it begins with\n" +
			"the root of an environment, follows the Kustomizations of Flux that it finds into their paths, and\n" +
			"substitutes variables from the ConfigMaps that the tree holds. Helm releases are rendered whose charts are\n" +
			"in the repository, or in a folder that --source names; the others are told of. DIR is the top of the\n" +
			"repository.\n\n" +
			"Where an age key is at hand, it decrypts what SOPS encrypted, and prints (secret) for the values.\n\n" +
			"It exits with 1 when a unit cannot be built, and with 3 when one could not be judged because\n" +
			"something that it needs is not in the tree. What could be built is printed in either case.",
		Example: "  holdfast build --env prod\n" +
			"  holdfast build ./platform apps --env dev\n" +
			"  holdfast build --path deploy --allow-missing -o json\n" +
			"  holdfast build -f flux/apps.yaml --source infra=../infra",
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		RunE: func(command *cobra.Command, args []string) (err error) {
			if flags.dir, flags.unit, err = placeAndUnit(args); err != nil {
				return err
			}
			flags.pathSet = command.Flags().Changed("path")
			return runBuild(command.Context(), std, flags)
		},
	}
	flags.output.register(command, outputYAML, outputJSON, outputName)
	set := command.Flags()
	set.StringVar(&flags.path, "path", "", "folder in the tree where to begin")
	set.StringVar(&flags.environment, "env", "", "environment to build: begin in the folder clusters/NAME")
	set.StringArrayVarP(&flags.manifests, "filename", "f", nil, "begin with the Kustomizations in this file (- reads standard input)")
	set.StringArrayVar(&flags.sources, "source", nil, "folder of another source, as [KIND/][NAMESPACE/]NAME=DIR")
	set.BoolVar(&flags.allowMissing, "allow-missing", false, "put placeholders where variables have no value")
	set.StringVar(&flags.ageKeyFile, "age-key-file", "", "file with age identities to decrypt with (default: where sops looks for them)")
	set.BoolVar(&flags.showSecrets, "show-secrets", false, "print decrypted values instead of placeholders")
	command.MarkFlagsMutuallyExclusive("path", "env", "filename")
	complete(command, "env", completeEnvironments)
	return command
}

// placeAndUnit tells a folder from a unit: a single argument is a folder if there is one of that name.
func placeAndUnit(args []string) (dir, unit string, err error) {
	switch len(args) {
	case 0:
		return ".", "", nil
	case 1:
		info, err := os.Stat(args[0])
		if err != nil || !info.IsDir() {
			if strings.HasPrefix(args[0], ".") || strings.HasPrefix(args[0], "/") {
				return "", "", hinted(fmt.Errorf("there is no folder %s", args[0]), "name the top of a repository")
			}
			return ".", args[0], nil
		}
		return args[0], "", nil
	default:
		return args[0], args[1], nil
	}
}

func runBuild(ctx context.Context, std Streams, flags buildFlags) error {
	folder, err := preview.OpenFolder(ctx, flags.dir)
	if err != nil {
		return hinted(err, "DIR is the top of a repository on this machine")
	}
	defer func() { _ = folder.Close() }()
	options := preview.Options{
		Tree: folder, AllowMissing: flags.allowMissing, Renderer: render.New(render.Options{}), Charts: chart.New(chart.Options{}),
		Sources: map[preview.Source]tree.Tree{},
	}
	if err := flags.start(std, folder, &options); err != nil {
		return err
	}
	if err := flags.unseal(&options); err != nil {
		return err
	}
	for _, text := range flags.sources {
		source, dir, err := preview.ParseSource(text)
		if err != nil {
			return hinted(err, "write it as NAME=DIR, for example --source infra=../infra")
		}
		other, err := preview.OpenFolder(ctx, dir)
		if err != nil {
			return fmt.Errorf("opening the folder of source %s: %w", source.Name, err)
		}
		defer func() { _ = other.Close() }()
		options.Sources[source] = other
	}
	result, err := preview.Build(ctx, options)
	if err != nil {
		return hinted(err, "paths are relative to %s, the top of the tree; `holdfast build --help` tells where building begins", flags.dir)
	}
	if flags.unit != "" {
		if result, err = only(result, flags.unit); err != nil {
			return err
		}
	}
	if err := printUnits(std.Out, result.Units, flags.output); err != nil {
		return err
	}
	return verdictOn(std, result)
}

// start says where to begin.
func (f buildFlags) start(std Streams, folder *preview.Folder, options *preview.Options) (err error) {
	switch {
	case len(f.manifests) > 0:
		for _, name := range f.manifests {
			found, err := readManifests(std.In, name)
			if err != nil {
				return fmt.Errorf("reading %s: %w", name, err)
			}
			options.Manifests = append(options.Manifests, found...)
		}
		if len(options.Manifests) == 0 {
			return hinted(errors.New("the files hold no object"), "-f wants Kustomizations of Flux")
		}
		return nil
	case f.pathSet:
		options.Path = f.path
		return nil
	}
	options.Path, err = preview.Start(folder.Index(), f.environment)
	var choice *preview.EnvironmentError
	if errors.As(err, &choice) {
		if len(choice.Known) == 0 {
			return hinted(err, "name a folder with --path")
		}
		return hinted(err, "choose one with --env %s, or a folder with --path", choice.Known[0])
	}
	return err
}

// only keeps one unit, named with or without its namespace, and what was found about it.
func only(result preview.Result, unit string) (preview.Result, error) {
	var kept preview.Result
	var known []string
	for _, one := range result.Units {
		known = append(known, one.Owner.Name)
		if unit == one.Owner.Name || unit == one.Owner.String() {
			kept.Units = append(kept.Units, one)
		}
	}
	for _, finding := range result.Findings {
		if unit == finding.Unit.Name || unit == finding.Unit.String() {
			kept.Findings = append(kept.Findings, finding)
		}
	}
	if len(kept.Units) == 0 && len(kept.Findings) == 0 {
		return preview.Result{}, hinted(fmt.Errorf("the tree delivers no unit %q", unit), "it delivers %s", strings.Join(known, ", "))
	}
	return kept, nil
}

// verdictOn tells what was found and chooses the exit code.
func verdictOn(std Streams, result preview.Result) error {
	for _, unit := range result.Units {
		if len(unit.Placeholders) > 0 {
			fmt.Fprintf(std.Err, "note: %s: placeholders stand for %s\n", unit.Owner, strings.Join(unit.Placeholders, ", "))
		}
	}
	result.Findings = slices.DeleteFunc(slices.Clone(result.Findings), func(finding preview.Finding) bool {
		if finding.Class == preview.Left {
			fmt.Fprintf(std.Err, "note: %s: %s (%s)\n", finding.Unit, table.OneLine(finding.Text), finding.Hint)
		}
		return finding.Class == preview.Left
	})
	if len(result.Findings) == 0 {
		return nil
	}
	ended := &failure{code: exitUnknown}
	for _, finding := range result.Findings {
		fmt.Fprintf(std.Err, "finding: %s: %s\n", finding.Unit, table.OneLine(finding.Text))
		if finding.Class == preview.Broken {
			ended.code = exitFailed
		}
		if ended.hint == "" {
			ended.hint = finding.Hint
		}
	}
	ended.err = fmt.Errorf("%s in %s", count(len(result.Findings), "finding"), count(len(result.Units)+unbuilt(result), "unit"))
	return ended
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// unbuilt counts the units of findings that are not among the built ones.
func unbuilt(result preview.Result) int {
	built := map[string]bool{}
	for _, unit := range result.Units {
		built[unit.Owner.String()] = true
	}
	unbuilt := 0
	for _, finding := range result.Findings {
		if name := finding.Unit.String(); !built[name] {
			built[name] = true
			unbuilt++
		}
	}
	return unbuilt
}

func completeEnvironments(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	dir, _, err := placeAndUnit(args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	entries, err := os.ReadDir(dir + "/clusters")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
