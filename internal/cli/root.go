package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"holdfast.dev/holdfast/internal/cli/secrets"
)

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, std Streams, args []string) int {
	log.SetLogger(logr.Discard()) // commands that log set their own
	root := newRootCommand(std)
	root.SetArgs(args)
	return report(std.Err, root.ExecuteContext(ctx))
}

func newRootCommand(std Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Deliver a Git repository to Kubernetes, and hold it there",
		Long: "Holdfast turns a Git repository into a running Kubernetes platform and holds it there.\n" +
			"It serves Flux's own resources, so repositories made for Flux work unchanged.",
		Args:                  rootArgs,
		SilenceErrors:         true,
		SilenceUsage:          true,
		DisableFlagsInUseLine: true,
	}
	// The libraries of Kubernetes add a flag of this name to every program that they are part of.
	version := root.PersistentFlags().Bool("version", false, "show the version of this program")
	_ = root.PersistentFlags().MarkHidden("version")
	root.RunE = func(command *cobra.Command, _ []string) error {
		if *version {
			_, err := fmt.Fprintln(std.Out, "holdfast", clientVersion())
			return err
		}
		return command.Help()
	}
	root.SetIn(std.In)
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return hinted(err, "see `%s --help`", command.CommandPath())
	})
	target := &target{now: time.Now}
	target.register(root)
	root.AddCommand(
		newGetCommand(std, target),
		newTreeCommand(std, target),
		newEventsCommand(std, target),
		newAuditCommand(std, target),
		newAlertsCommand(std, target),
		newReconcileCommand(std, target),
		newSuspendCommand(std, target),
		newResumeCommand(std, target),
		newHistoryCommand(std, target),
		newRollbackCommand(std, target),
		newRetryCommand(std, target),
		newDiffCommand(std, target),
		newBuildCommand(std),
		newCheckCommand(std, target),
		secrets.New(secrets.Streams{In: std.In, Out: std.Out, Err: std.Err, Style: std.style()},
			secrets.Cluster{Reach: target.config, Namespace: func() string { return target.namespace }}),
		newPushCommand(std),
		newPullCommand(std),
		newTagCommand(std),
		newVersionCommand(std, target),
		newClusterCommand(std),
		newUpCommand(std),
		newControllerCommand(std, target),
		newInstallCommand(std, target),
		newUninstallCommand(std, target),
	)
	return root
}

// rootArgs says what to do about a word that is no command.
func rootArgs(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	root.SuggestionsMinimumDistance = 2
	hint := "`holdfast --help` lists the commands"
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		slices.Sort(near)
		hint = "did you mean `holdfast " + strings.Join(near, "` or `holdfast ") + "`?"
	}
	return hinted(fmt.Errorf("there is no command %q", args[0]), "%s", hint)
}
