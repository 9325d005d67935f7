package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/record/audit"
)

const (
	exportLines  = "jsonl"
	exportEvents = "cloudevents"
)

func newAuditExportCommand(std Streams, store *string) *cobra.Command {
	format := exportLines
	formats := []string{exportLines, exportEvents}
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
			return runAuditExport(command.Context(), std, *store, format)
		},
	}
	command.Flags().StringVar(&format, "format", exportLines, strings.Join(formats, "|"))
	complete(command, "format", fixed(formats...))
	return command
}

func runAuditExport(ctx context.Context, std Streams, store, format string) error {
	db, err := openStore(store)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if format == exportEvents {
		return audit.ExportEvents(ctx, db, std.Out)
	}
	return audit.Export(ctx, db, std.Out)
}
