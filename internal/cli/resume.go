package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/fleet"
)

type resumeFlags struct {
	suspendFlags

	wait    bool
	timeout time.Duration
}

func newResumeCommand(std Streams, target *target) *cobra.Command {
	flags := resumeFlags{suspendFlags: suspendFlags{target: target}}
	command := &cobra.Command{
		Use:               "resume (unit|source|KIND) [NAME...]",
		Short:             "Take the reconciliation of suspended units or sources up again",
		Example:           "  holdfast resume unit apps --wait\n  holdfast resume units --all",
		ValidArgsFunction: target.completeSubject("unit", "source"),
		RunE: func(command *cobra.Command, args []string) (err error) {
			if flags.subject, err = parseSubject(args); err != nil {
				return err
			}
			return runResume(command.Context(), std, flags)
		},
	}
	set := command.Flags()
	set.BoolVar(&flags.all, "all", false, "all in the namespace")
	set.BoolVar(&flags.wait, "wait", false, "wait until each is ready, or failed")
	set.DurationVar(&flags.timeout, "timeout", defaultTimeout, "how long to wait at most")
	return command
}

func runResume(ctx context.Context, std Streams, flags resumeFlags) error {
	cluster, err := flags.target.connect()
	if err != nil {
		return err
	}
	resumed, err := setSuspended(ctx, std, cluster, flags.suspendFlags, false)
	if !flags.wait {
		return err
	}
	ctx, cancel := within(ctx, flags.timeout)
	defer cancel()
	failed := []error{err}
	for _, resource := range resumed {
		if resource.Static() {
			continue
		}
		failed = append(failed, awaitReady(ctx, std, cluster, resource, fleet.Settled))
	}
	return errors.Join(failed...)
}
