package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"holdfast.dev/holdfast/internal/cli/alerts"
	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/cli/table"
)

func newAlertsCommand(std Streams, target *target) *cobra.Command {
	command := &cobra.Command{
		Use:   "alerts",
		Short: "Try the providers of alerts, and see how alerts fare",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newAlertsListCommand(std, target), newAlertsTestCommand(std, target))
	return command
}

type alertsListFlags struct {
	target        *target
	allNamespaces bool
}

func newAlertsListCommand(std Streams, target *target) *cobra.Command {
	flags := alertsListFlags{target: target}
	command := &cobra.Command{
		Use:   "list",
		Short: "List alerts with their providers, and what is wrong with them",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return runAlertsList(command.Context(), std, flags) },
	}
	command.Flags().BoolVarP(&flags.allNamespaces, "all-namespaces", "A", false, "list all namespaces")
	return command
}

func runAlertsList(ctx context.Context, std Streams, flags alertsListFlags) error {
	cluster, err := flags.target.alerts()
	if err != nil {
		return err
	}
	namespace := flags.target.namespace
	if flags.allNamespaces {
		namespace = ""
	}
	listed, err := cluster.List(ctx, namespace)
	if err != nil {
		return unserved(err)
	}
	if len(listed) == 0 {
		return sayNothingFound(std, getFlags{target: flags.target, allNamespaces: flags.allNamespaces})
	}
	columns := []table.Column{{Title: "NAME"}, {Title: "PROVIDER"}, {Title: "TYPE"}, {Title: "SEVERITY"}, {Title: "SUSPENDED"}, {Title: "SINCE"}, {Title: "TROUBLE", Shrinks: true}}
	if flags.allNamespaces {
		columns = append([]table.Column{{Title: "NAMESPACE"}}, columns...)
	}
	rows := make([]table.Row, len(listed))
	for i, one := range listed {
		rows[i] = alertRow(one, flags)
	}
	return table.NewWriter(std.Out, std.style(), columns...).Write(rows...)
}

func alertRow(one alerts.Alert, flags alertsListFlags) table.Row {
	suspended := table.Cell{Text: "False"}
	if one.Suspended {
		suspended = table.Cell{Text: "True", Tone: table.Busy}
	}
	since, trouble := table.Cell{Text: "-", Tone: table.Faint}, table.Cell{Text: "-", Tone: table.Faint}
	if !one.Since.IsZero() {
		since = table.Cell{Text: table.Age(one.Since, flags.target.now())}
	}
	if one.Trouble != "" {
		trouble = table.Cell{Text: one.Trouble, Tone: table.Bad}
	}
	kind := one.Type
	if kind == "" {
		kind = "-"
	}
	row := table.Row{{Text: one.Name}, {Text: one.Provider}, {Text: kind}, {Text: one.Severity}, suspended, since, trouble}
	if flags.allNamespaces {
		row = append(table.Row{{Text: one.Namespace}}, row...)
	}
	return row
}

type alertsTestFlags struct {
	target   *target
	provider string
	severity string
	message  string
	revision string
}

func newAlertsTestCommand(std Streams, target *target) *cobra.Command {
	flags := alertsTestFlags{target: target}
	command := &cobra.Command{
		Use:   "test PROVIDER",
		Short: "Send a test message through a provider, and show what came back",
		Long: "Test reads a Provider and its Secrets with your rights, and sends a message from this machine, the way\n" +
			"the controller does. What the service answers is shown.",
		Example: "  holdfast alerts test slack -n apps\n" +
			"  holdfast alerts test pager -n apps --severity error\n" +
			"  holdfast alerts test github -n flux-system --revision main@sha1:5cb2…",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return hinted(errors.New("the name of one provider is needed"), "`holdfast get providers -A` lists them")
			}
			return nil
		},
		ValidArgsFunction: func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return target.names(command.Context(), fleet.KindsNamed("provider"), args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(command *cobra.Command, args []string) error {
			flags.provider = args[0]
			return runAlertsTest(command.Context(), std, flags)
		},
	}
	set := command.Flags()
	set.StringVar(&flags.severity, "severity", "info", "info or error; an error may call somebody, and an info after it tells that all is well")
	set.StringVar(&flags.message, "message", "", "text of the message (default: that it is a test)")
	set.StringVar(&flags.revision, "revision", "", "commit whose status is set, for providers that do that")
	complete(command, "severity", fixed("info", "error"))
	return command
}

func runAlertsTest(ctx context.Context, std Streams, flags alertsTestFlags) error {
	if flags.severity != "info" && flags.severity != "error" {
		return hinted(fmt.Errorf("there is no severity %q", flags.severity), "it is info or error")
	}
	cluster, err := flags.target.alerts()
	if err != nil {
		return err
	}
	kind, answer, err := cluster.Try(ctx, alerts.Trial{
		Namespace: flags.target.namespace, Provider: flags.provider,
		Failure: flags.severity == "error", Text: flags.message, Revision: flags.revision, Now: flags.target.now(),
	})
	if answer.Quote != "" {
		fmt.Fprintf(std.Out, "the service answered: %s\n", table.OneLine(answer.Quote))
	}
	switch {
	case err != nil && kind == "":
		return hinted(unserved(err), "`holdfast get providers -A` lists them")
	case err != nil && answer.Status == "" && flags.revision == "":
		return hinted(err, "look at the Provider and its Secret; --revision names a commit")
	case err != nil:
		return hinted(err, "look at the address, the channel and the token of the Provider and its Secret")
	case answer.Skipped != "":
		_, err = fmt.Fprintf(std.Out, "provider/%s (%s): nothing was sent: %s\n", flags.provider, kind, answer.Skipped)
	default:
		_, err = fmt.Fprintf(std.Out, "provider/%s (%s): sent: %s\n", flags.provider, kind, answer.Status)
	}
	return err
}

// alerts returns the alerts of the target's cluster.
func (t *target) alerts() (*alerts.Cluster, error) {
	config, err := t.config()
	if err != nil {
		return nil, err
	}
	return alerts.Connect(config)
}

// unserved makes a sentence of the error that a cluster without the kinds gives.
func unserved(err error) error {
	if apimeta.IsNoMatchError(err) {
		return &fleet.NotServedError{Kinds: fleet.KindsNamed("alerts")}
	}
	return err
}
