package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

type diffFlags struct {
	shelfFlags
	releases []int64
	exitCode bool
	output   output
}

func newDiffCommand(std Streams, target *target) *cobra.Command {
	flags := diffFlags{shelfFlags: shelfFlags{target: target}}
	command := &cobra.Command{
		Use:   "diff UNIT --release A [--release B]",
		Short: "Show in which objects and fields two releases of a unit differ",
		Long: "Diff shows what release B changes against release A. Without B it is the release that the cluster is on.\n" +
			"Values of Secrets are not shown, only whether they differ.",
		Example: "  holdfast diff apps --release 3 --release 4\n  holdfast diff apps --release 3",
		RunE: func(command *cobra.Command, args []string) error {
			flags.unit = args[0]
			return runDiff(command.Context(), std, flags)
		},
	}
	flags.register(command)
	command.Flags().Int64SliceVar(&flags.releases, "release", nil, "number of a release; give it once or twice")
	command.Flags().BoolVar(&flags.exitCode, "exit-code", false, "exit with 2 where there is a difference")
	flags.output.register(command, outputJSON, outputYAML)
	return command
}

func runDiff(ctx context.Context, std Streams, flags diffFlags) error {
	if len(flags.releases) == 0 || len(flags.releases) > 2 {
		return hinted(errors.New("one or two releases are to be named with --release"), "`holdfast history %s` lists them", flags.unit)
	}
	_, _, shelf, err := flags.open(ctx)
	if err != nil {
		return err
	}
	from := flags.releases[0]
	standing, _ := shelf.Book().Standing()
	to := standing.Number
	if len(flags.releases) == 2 {
		to = flags.releases[1]
	}
	found, err := shelf.Compare(ctx, from, to)
	if err != nil {
		return err
	}
	if flags.output.structured() {
		err = flags.output.encode(std.Out, found, true)
	} else {
		err = found.Write(std.Out, std.Colour())
	}
	if err == nil && flags.exitCode && !found.Empty() {
		return &failure{err: errors.New("the releases differ"), code: exitDiffers}
	}
	return err
}
