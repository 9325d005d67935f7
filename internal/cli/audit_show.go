package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/record/audit"
)

func newAuditShowCommand(std Streams, source *auditSource) *cobra.Command {
	format := outputYAML
	command := &cobra.Command{
		Use:               "show N",
		Short:             "Show one record, with everything in it",
		Example:           "  holdfast audit show 17\n  holdfast audit show 17 -o json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no number of a record: they begin with 1", args[0])
			}
			return runAuditShow(command.Context(), std, source, n, format)
		},
	}
	format.register(command, outputYAML, outputJSON)
	return command
}

func runAuditShow(ctx context.Context, std Streams, source *auditSource, n int64, format output) error {
	log, err := source.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	found, err := log.List(ctx, audit.Filter{From: n, To: n})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return hinted(fmt.Errorf("there is no record %d", n),
			"`holdfast audit list` shows the last ones; old ones may have been dropped by the retention")
	}
	return format.encode(std.Out, viewOf(found[0]), true)
}
