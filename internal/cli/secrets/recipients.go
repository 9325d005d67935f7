package secrets

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/table"
	"holdfast.dev/holdfast/internal/secret/document"
	"holdfast.dev/holdfast/internal/secret/keyring"
	"holdfast.dev/holdfast/internal/secret/rules"
)

type recipientsFlags struct {
	keyFlags
	output string
	paths  []string
}

func newRecipientsCommand(std Streams, cluster Cluster) *cobra.Command {
	flags := recipientsFlags{keyFlags: keyFlags{cluster: cluster}}
	command := &cobra.Command{
		Use:   "recipients [PATH...]",
		Short: "Show who can read each encrypted file, and whether your keys can",
		Long: "Recipients lists each encrypted file with the keys that it is encrypted for, how long ago that was,\n" +
			"whether a key at hand opens it, and whether .sops.yaml names the same keys. Key management services\n" +
			"are listed and not asked.",
		Example: "  holdfast secrets recipients\n  holdfast secrets recipients clusters/prod --cluster-keys --context prod\n  holdfast secrets recipients -o json",
		RunE: func(command *cobra.Command, args []string) error {
			if flags.paths = args; len(args) == 0 {
				flags.paths = []string{"."}
			}
			return runRecipients(command.Context(), std, flags)
		},
	}
	flags.register(command)
	registerOutput(command, &flags.output)
	return command
}

// fileRecipients is a file and who can read it, as -o json shows it.
type fileRecipients struct {
	File       string          `json:"file"`
	Modified   time.Time       `json:"modified,omitzero"`
	Opens      bool            `json:"opens"`
	Recipients []fileRecipient `json:"recipients"`
	// Wanted are recipients that .sops.yaml names and the file lacks.
	Wanted []string `json:"wanted,omitempty"`
	Error  string   `json:"error,omitempty"`
}

type fileRecipient struct {
	Type      string    `json:"type"`
	Recipient string    `json:"recipient"`
	Since     time.Time `json:"since,omitzero"`
	Key       string    `json:"key,omitempty"` // where its private half is at hand
	// Rule tells whether .sops.yaml names it; it is left out where there is no rule.
	Rule *bool `json:"rule,omitempty"`
}

func runRecipients(ctx context.Context, std Streams, flags recipientsFlags) error {
	if err := checkOutput(flags.output); err != nil {
		return err
	}
	ring, err := flags.ring(ctx)
	if err != nil {
		return err
	}
	files, err := findEncrypted(flags.paths)
	if err != nil {
		return err
	}
	listed := []fileRecipients{}
	unreadable := 0
	for _, file := range files {
		one := describe(file, ring)
		if one.Error != "" {
			unreadable++
		}
		listed = append(listed, one)
	}
	if flags.output == "json" {
		err = writeJSON(std.Out, listed)
	} else {
		err = printRecipients(std, listed)
	}
	if err != nil {
		return err
	}
	for _, skipped := range ring.Skipped() {
		if flags.remote && skipped.Why != "it is not there" {
			fmt.Fprintf(std.Err, "%s: no key was read: %s\n", skipped.Place, skipped.Why)
		}
	}
	if unreadable > 0 {
		return &Problem{err: fmt.Errorf("could not read %d of %d encrypted files", unreadable, len(files)), code: codeUnknown}
	}
	return nil
}

func describe(file encrypted, ring *keyring.Ring) fileRecipients {
	one := fileRecipients{File: file.name}
	if file.err != nil {
		one.Error = file.err.Error()
		return one
	}
	one.Modified, one.Opens = file.sealed.Modified(), file.sealed.Opens(ring)
	have := file.sealed.Recipients()
	rule, err := rules.For(file.name)
	added, removed := document.Difference(have, rule.Recipients())
	for _, recipient := range have {
		shown := fileRecipient{Type: recipient.Type, Recipient: recipient.Name, Since: recipient.Since}
		shown.Key, _ = ring.Holds(recipient.Name)
		if err == nil {
			named := true
			for _, other := range removed {
				named = named && other != recipient
			}
			shown.Rule = &named
		}
		one.Recipients = append(one.Recipients, shown)
	}
	for _, recipient := range added {
		one.Wanted = append(one.Wanted, recipient.Name)
	}
	return one
}

func printRecipients(std Streams, listed []fileRecipients) error {
	if len(listed) == 0 {
		_, err := fmt.Fprintln(std.Err, "No encrypted file was found.")
		return err
	}
	writer := table.NewWriter(std.Out, std.Style, table.Column{Title: "FILE"}, table.Column{Title: "AGE"}, table.Column{Title: "OPENS"},
		table.Column{Title: "RULE"}, table.Column{Title: "RECIPIENT", Shrinks: true})
	now := time.Now()
	var rows []table.Row
	for _, file := range listed {
		if file.Error != "" {
			rows = append(rows, table.Row{{Text: file.File}, {}, {Text: "unknown", Tone: table.Bad}, {}, {Text: file.Error}})
			continue
		}
		opens := table.Cell{Text: "no", Tone: table.Bad}
		if file.Opens {
			opens = table.Cell{Text: "yes", Tone: table.Good}
		}
		for _, recipient := range file.Recipients {
			since := recipient.Since
			if since.IsZero() {
				since = file.Modified
			}
			rows = append(rows, table.Row{{Text: file.File}, {Text: table.Age(since, now)}, opens, ruleCell(recipient.Rule), {Text: recipient.Recipient}})
		}
		for _, wanted := range file.Wanted {
			rows = append(rows, table.Row{{Text: file.File}, {Text: "-"}, opens, {Text: "missing", Tone: table.Bad}, {Text: wanted}})
		}
	}
	return writer.Write(rows...)
}

func ruleCell(named *bool) table.Cell {
	switch {
	case named == nil:
		return table.Cell{Text: "none", Tone: table.Faint}
	case *named:
		return table.Cell{Text: "yes"}
	default:
		return table.Cell{Text: "removed", Tone: table.Bad}
	}
}
