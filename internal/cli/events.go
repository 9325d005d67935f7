package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/cli/table"
)

type eventsFlags struct {
	target        *target
	subject       *fleet.Subject // nil means the events of all units and sources
	output        output
	types         []string
	allNamespaces bool
	watch         bool
}

func newEventsCommand(std Streams, target *target) *cobra.Command {
	flags := eventsFlags{target: target}
	command := &cobra.Command{
		Use:   "events [(unit|source|KIND) NAME]",
		Short: "Show what happened to units and sources, the oldest first",
		Example: "  holdfast events\n" +
			"  holdfast events unit apps --watch\n" +
			"  holdfast events -A --types Warning",
		ValidArgsFunction: target.completeSubject("unit", "source"),
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) > 0 {
				parsed, err := parseSubject(args)
				if err != nil {
					return err
				}
				flags.subject = &parsed
			}
			return runEvents(command.Context(), std, flags)
		},
	}
	flags.output.register(command, outputJSON, outputYAML)
	set := command.Flags()
	set.BoolVarP(&flags.allNamespaces, "all-namespaces", "A", false, "of all namespaces")
	set.BoolVarP(&flags.watch, "watch", "w", false, "go on and show events as they come")
	set.StringSliceVar(&flags.types, "types", nil, "show these types only: Normal, Warning")
	complete(command, "types", fixed(corev1.EventTypeNormal, corev1.EventTypeWarning))
	return command
}

func runEvents(ctx context.Context, std Streams, flags eventsFlags) error {
	selection := fleet.EventSelection{Namespace: flags.target.namespace, Kinds: fleet.Kinds(), Types: flags.types}
	if flags.allNamespaces {
		selection.Namespace = ""
	}
	if flags.subject != nil {
		selection.Kinds, selection.Names = flags.subject.Kinds, flags.subject.Names
	}
	cluster, err := flags.target.connect()
	if err != nil {
		return err
	}
	shown := newEventPrinter(std, flags)
	if flags.watch {
		err := cluster.FollowEvents(ctx, selection, shown.printOne)
		if ctx.Err() != nil {
			return nil // the way to end a watch
		}
		return err
	}
	events, err := cluster.Events(ctx, selection)
	if err != nil {
		return err
	}
	if len(events) == 0 && !flags.output.structured() {
		return noEvents(ctx, std, cluster, selection)
	}
	return shown.print(events)
}

// noEvents tells apart what had no events lately from what is not there at all. Events outlive what
// they are about, so this is asked only where there are none.
func noEvents(ctx context.Context, std Streams, cluster *fleet.Cluster, selection fleet.EventSelection) error {
	for _, name := range selection.Names {
		if selection.Namespace == "" {
			break
		}
		if _, err := cluster.Find(ctx, selection.Kinds, selection.Namespace, name); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(std.Err, "No events; the cluster keeps them for an hour.")
	return err
}

// eventPrinter shows events in the format that was asked for.
type eventPrinter struct {
	std    Streams
	output output
	spaces bool
	now    func() time.Time
	table  *table.Writer
	begun  bool
}

func newEventPrinter(std Streams, flags eventsFlags) *eventPrinter {
	columns := []table.Column{{Title: "LAST SEEN"}, {Title: "TYPE"}, {Title: "REASON"}, {Title: "OBJECT"}, {Title: "MESSAGE", Shrinks: true}}
	if flags.allNamespaces {
		columns = append([]table.Column{{Title: "NAMESPACE"}}, columns...)
	}
	return &eventPrinter{
		std: std, output: flags.output, spaces: flags.allNamespaces, now: flags.target.now,
		table: table.NewWriter(std.Out, std.style(), columns...),
	}
}

func (p *eventPrinter) print(events []corev1.Event) error {
	if p.output.structured() {
		items := make([]any, len(events))
		for i, event := range events {
			items[i] = typed(event)
		}
		return p.output.encode(p.std.Out, listOf(items), true)
	}
	rows := make([]table.Row, len(events))
	for i, event := range events {
		rows[i] = p.row(event)
	}
	return p.table.Write(rows...)
}

func (p *eventPrinter) printOne(event corev1.Event) error {
	first := !p.begun
	p.begun = true
	if p.output.structured() {
		return p.output.encode(p.std.Out, typed(event), first)
	}
	return p.table.Write(p.row(event))
}

func (p *eventPrinter) row(event corev1.Event) table.Row {
	kind, _ := fleet.KindOf(event.InvolvedObject.GroupVersionKind().GroupKind())
	seen := table.Age(fleet.EventTime(event), p.now())
	if event.Count > 1 {
		seen += fmt.Sprintf(" (x%d)", event.Count)
	}
	tone := table.Plain
	if event.Type == corev1.EventTypeWarning {
		tone = table.Bad
	}
	row := table.Row{
		{Text: seen},
		{Text: event.Type, Tone: tone},
		{Text: event.Reason},
		{Text: kind.Word() + "/" + event.InvolvedObject.Name},
		{Text: table.ShortDigests(event.Message)},
	}
	if p.spaces {
		row = append(table.Row{{Text: event.InvolvedObject.Namespace}}, row...)
	}
	return row
}

// typed gives an event the kind that lists leave out, and drops what is for the server only.
func typed(event corev1.Event) corev1.Event {
	event.APIVersion, event.Kind = corev1.SchemeGroupVersion.String(), "Event"
	event.ManagedFields = nil
	return event
}
