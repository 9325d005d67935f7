package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/fleet"
)

type suspendFlags struct {
	target  *target
	subject fleet.Subject
	all     bool
}

func newSuspendCommand(std Streams, target *target) *cobra.Command {
	flags := suspendFlags{target: target}
	command := &cobra.Command{
		Use:   "suspend (unit|source|KIND) [NAME...]",
		Short: "Stop the reconciliation of units or sources",
		Long: "Suspend stops the reconciliation of units or sources until they are resumed. A unit's objects stay as\n" +
			"they are: changes by hand are no longer undone, and deleting a suspended unit deletes none of them.",
		Example:           "  holdfast suspend unit apps\n  holdfast suspend sources --all",
		ValidArgsFunction: target.completeSubject("unit", "source"),
		RunE: func(command *cobra.Command, args []string) (err error) {
			if flags.subject, err = parseSubject(args); err != nil {
				return err
			}
			return runSuspend(command.Context(), std, flags)
		},
	}
	command.Flags().BoolVar(&flags.all, "all", false, "all in the namespace")
	return command
}

func runSuspend(ctx context.Context, std Streams, flags suspendFlags) error {
	cluster, err := flags.target.connect()
	if err != nil {
		return err
	}
	_, err = setSuspended(ctx, std, cluster, flags, true)
	return err
}

// setSuspended suspends or resumes what the arguments name, and returns it as it is then. It goes on
// after an error, so that one resource does not keep the others from being set.
func setSuspended(ctx context.Context, std Streams, cluster *fleet.Cluster, flags suspendFlags, suspend bool) ([]fleet.Resource, error) {
	named, err := chosen(ctx, cluster, flags)
	if err != nil {
		return nil, err
	}
	var (
		set    []fleet.Resource
		failed []error
	)
	for _, resource := range named {
		changed, err := cluster.Suspend(ctx, resource, suspend)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		set = append(set, changed)
		fmt.Fprintf(std.Out, "%s: %s\n", changed, suspendWord(suspend))
	}
	return set, errors.Join(failed...)
}

func suspendWord(suspend bool) string {
	if suspend {
		return "suspended"
	}
	return "resumed"
}

// chosen returns the resources that the arguments name, each found before the first is changed.
func chosen(ctx context.Context, cluster *fleet.Cluster, flags suspendFlags) ([]fleet.Resource, error) {
	switch {
	case flags.all && len(flags.subject.Names) > 0:
		return nil, hinted(errors.New("names and --all exclude each other"), "leave one of the two out")
	case !flags.all && len(flags.subject.Names) == 0:
		return nil, hinted(errors.New("a name is missing"), "name one or more, or take all of the namespace with --all")
	case flags.all:
		return cluster.List(ctx, flags.subject.Kinds, fleet.Selection{Namespace: flags.target.namespace})
	}
	var named []fleet.Resource
	for _, name := range flags.subject.Names {
		resource, err := cluster.Find(ctx, flags.subject.Kinds, flags.target.namespace, name)
		if err != nil {
			return nil, err
		}
		named = append(named, resource)
	}
	return named, nil
}
