package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/cli/releases"
	"holdfast.dev/holdfast/internal/cli/table"
)

// shelfFlags find a unit and its releases.
type shelfFlags struct {
	target    *target
	unit      string
	namespace string // of the controller
}

func (f *shelfFlags) register(command *cobra.Command) {
	command.Flags().StringVar(&f.namespace, "runtime-namespace", defaultNamespace(), "namespace of the controller, where releases are kept")
	command.Args = oneUnit
	command.ValidArgsFunction = f.target.completeUnits
}

// open finds the unit and reads its releases.
func (f *shelfFlags) open(ctx context.Context) (*fleet.Cluster, fleet.Resource, *releases.Shelf, error) {
	none := fleet.Resource{}
	named, err := parseSubject([]string{"unit", f.unit})
	if err != nil {
		return nil, none, nil, err
	}
	config, err := f.target.config()
	if err != nil {
		return nil, none, nil, err
	}
	cluster, err := fleet.Connect(config)
	if err != nil {
		return nil, none, nil, err
	}
	unit, err := cluster.Find(ctx, named.Kinds, f.target.namespace, named.Names[0])
	if err != nil {
		return nil, none, nil, err
	}
	shelf, err := releases.Open(ctx, config, f.namespace, unit)
	return cluster, unit, shelf, err
}

type historyFlags struct {
	shelfFlags
	output output
}

func newHistoryCommand(std Streams, target *target) *cobra.Command {
	flags := historyFlags{shelfFlags: shelfFlags{target: target}}
	command := &cobra.Command{
		Use:   "history UNIT",
		Short: "Show the releases of a unit, and what became of each",
		Long: "History shows the releases of a unit, the newest first: what Git called them, what they changed, and\n" +
			"what became of them. The last ten are kept, and the last good one.",
		Example: "  holdfast history apps\n  holdfast history apps -o wide",
		RunE: func(command *cobra.Command, args []string) error {
			flags.unit = args[0]
			return runHistory(command.Context(), std, flags)
		},
	}
	flags.register(command)
	flags.output.register(command, outputWide, outputJSON, outputYAML)
	return command
}

func runHistory(ctx context.Context, std Streams, flags historyFlags) error {
	_, unit, shelf, err := flags.open(ctx)
	if err != nil {
		return err
	}
	book := shelf.Book()
	if flags.output.structured() {
		return flags.output.encode(std.Out, book, true)
	}
	if len(book) == 0 {
		_, err := fmt.Fprintf(std.Out, "%s has no releases yet\n", unit)
		return err
	}
	writer := table.NewWriter(std.Out, table.Style{Wide: flags.output == outputWide, Colour: std.Colour(), Width: std.Width()},
		table.Column{Title: "RELEASE"}, table.Column{Title: "VERDICT"}, table.Column{Title: "AGE"}, table.Column{Title: "REVISION"},
		table.Column{Title: "CHANGES"}, table.Column{Title: "AUTHOR", Wide: true}, table.Column{Title: "TITLE", Wide: true},
		table.Column{Title: "WHY", Shrinks: true})
	standing, _ := book.Standing()
	rows := make([]table.Row, len(book))
	for i, one := range book {
		rows[i] = releases.Row(one, one.Number == standing.Number, flags.target.now())
	}
	return writer.Write(rows...)
}
