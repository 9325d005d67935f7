package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/logbook"
)

func newAuditExportCommand(std Streams, source *auditSource) *cobra.Command {
	format := logbook.Lines
	formats := []string{logbook.Lines, logbook.Events}
	command := &cobra.Command{
		Use:   "export",
		Short: "Write the whole record to a file or another system",
		Long: "Write the whole record as lines of JSON, the oldest first. The format jsonl carries what is needed to\n" +
			"verify it without the store; cloudevents is for systems that gather events.",
		Example:           "  holdfast audit export > audit.jsonl && holdfast audit verify audit.jsonl\n  holdfast audit export --format cloudevents",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			if !slices.Contains(formats, format) {
				return fmt.Errorf("--format %s: the formats are %s", format, strings.Join(formats, ", "))
			}
			return runAuditExport(command.Context(), std, source, format)
		},
	}
	command.Flags().StringVar(&format, "format", logbook.Lines, strings.Join(formats, "|"))
	complete(command, "format", fixed(formats...))
	return command
}

func runAuditExport(ctx context.Context, std Streams, source *auditSource, format string) error {
	log, err := source.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	return log.Export(ctx, format, std.Out)
}
