package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/table"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
)

type auditListFlags struct {
	source       *auditSource
	now          func() time.Time
	output       output
	unit, actor  string
	kinds        []string
	since, until string
	limit        int
}

func newAuditListCommand(std Streams, target *target, source *auditSource) *cobra.Command {
	flags := auditListFlags{source: source, now: target.now}
	command := &cobra.Command{
		Use:   "list",
		Short: "List what happened, the oldest first",
		Example: "  holdfast audit list --unit apps --since 24h\n" +
			"  holdfast audit list --kind RolledBack,Held --since 2026-09-01 --until 2026-10-01\n" +
			"  holdfast audit list --limit 0 -o json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			return runAuditList(command.Context(), std, flags)
		},
	}
	flags.output.register(command, outputWide, outputJSON, outputYAML)
	set := command.Flags()
	set.StringVar(&flags.unit, "unit", "", "of this unit or source: NAME, NAMESPACE/NAME or KIND/NAMESPACE/NAME")
	set.StringSliceVar(&flags.kinds, "kind", nil, "of these kinds, for example RevisionSeen,ReleaseGood")
	set.StringVar(&flags.actor, "actor", "", "caused by this actor")
	set.StringVar(&flags.since, "since", "", "from this time on: a time, a day, or how long ago")
	set.StringVar(&flags.until, "until", "", "before this time")
	set.IntVar(&flags.limit, "limit", 100, "the last ones only; 0 is all")
	return command
}

func runAuditList(ctx context.Context, std Streams, flags auditListFlags) error {
	filter := audit.Filter{Subject: flags.unit, Actor: flags.actor, Limit: flags.limit}
	for _, kind := range flags.kinds {
		filter.Kinds = append(filter.Kinds, record.Kind(kind))
	}
	var err error
	if filter.Since, err = moment(flags.since, flags.now()); err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	if filter.Until, err = moment(flags.until, flags.now()); err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	log, err := flags.source.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	found, err := log.List(ctx, filter)
	if err != nil {
		return err
	}
	if flags.output.structured() {
		items := make([]any, len(found))
		for i, r := range found {
			items[i] = viewOf(r)
		}
		return flags.output.encode(std.Out, map[string]any{"items": items}, true)
	}
	if len(found) == 0 {
		_, err := fmt.Fprintln(std.Err, "Nothing of the kind is recorded.")
		return err
	}
	return printRecords(std, flags.output == outputWide, found)
}

func printRecords(std Streams, wide bool, found []audit.Record) error {
	style := std.style()
	style.Wide = wide
	shown := table.NewWriter(std.Out, style,
		table.Column{Title: "N"}, table.Column{Title: "TIME"}, table.Column{Title: "KIND"}, table.Column{Title: "SUBJECT"},
		table.Column{Title: "ACTOR", Shrinks: true}, table.Column{Title: "REVISION", Wide: true}, table.Column{Title: "RELEASE", Wide: true},
		table.Column{Title: "REASON", Wide: true}, table.Column{Title: "OBJECTS", Wide: true}, table.Column{Title: "MESSAGE", Shrinks: true})
	rows := make([]table.Row, len(found))
	for i, r := range found {
		entry, release, objects := r.Entry, "", ""
		if entry.Release > 0 {
			release = strconv.FormatInt(entry.Release, 10)
		}
		if count := len(entry.Objects); count > 0 {
			objects = strconv.Itoa(count)
		}
		rows[i] = table.Row{
			{Text: strconv.FormatInt(r.N, 10)},
			{Text: entry.At.Local().Format(time.RFC3339)},
			{Text: string(entry.Kind), Tone: toneOf(entry.Kind)},
			{Text: subjectText(entry.Subject)},
			{Text: actorText(entry.Actor)},
			{Text: table.ShortDigests(entry.Revision.Name)},
			{Text: release},
			{Text: entry.Reason},
			{Text: objects},
			{Text: table.ShortDigests(messageOf(entry))},
		}
	}
	return shown.Write(rows...)
}

func actorText(actor record.Actor) string {
	if actor.Name == "" {
		return string(actor.Type)
	}
	if actor.Claimed {
		return actor.Name + " (claimed)"
	}
	return actor.Name
}

// messageOf is the message, with the title of the commit where the entry is about one.
func messageOf(entry record.Entry) string {
	if entry.Kind == record.RevisionSeen && entry.Revision.Title != "" {
		return entry.Revision.Name + " " + strconv.Quote(entry.Revision.Title)
	}
	return entry.Message
}

func toneOf(kind record.Kind) table.Tone {
	switch text := string(kind); {
	case kind == record.ReleaseGood, kind == record.SourceRecovered, kind == record.HoldEnded, kind == record.Thawed:
		return table.Good
	case strings.HasSuffix(text, "Failed"), strings.HasSuffix(text, "Rejected"),
		kind == record.RolledBack, kind == record.Held, kind == record.Frozen, kind == record.Gap:
		return table.Bad
	}
	return table.Plain
}
