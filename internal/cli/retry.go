package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/controller/delivery"
)

type retryFlags struct {
	shelfFlags
	reason  string
	wait    bool
	timeout time.Duration
}

func newRetryCommand(std Streams, target *target) *cobra.Command {
	flags := retryFlags{shelfFlags: shelfFlags{target: target}}
	command := &cobra.Command{
		Use:   "retry UNIT",
		Short: "Try once more what was rolled back and is held",
		Long: "Retry tries once more what Git wants of a unit, although it was rolled back, and ends a freeze. Should\n" +
			"it fail again, it is rolled back again.",
		Example: "  holdfast retry apps --reason 'the registry is back'",
		RunE: func(command *cobra.Command, args []string) error {
			flags.unit = args[0]
			return runRetry(command.Context(), std, flags)
		},
	}
	flags.register(command)
	command.Flags().StringVar(&flags.reason, "reason", "", "why; it gets into the record")
	command.Flags().BoolVar(&flags.wait, "wait", true, "wait for the verdict")
	command.Flags().DurationVar(&flags.timeout, "timeout", defaultTimeout, "how long to wait at most")
	return command
}

func runRetry(ctx context.Context, std Streams, flags retryFlags) error {
	cluster, unit, _, err := flags.open(ctx)
	if err != nil {
		return err
	}
	token, err := ask(ctx, cluster, unit, flags.target.now(), flags.reason, map[string]string{
		delivery.AnnotationRetry: flags.target.now().UTC().Format(time.RFC3339Nano), delivery.AnnotationRollBack: "",
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(std.Out, "%s: one more try requested\n", unit)
	if !flags.wait {
		return nil
	}
	ctx, cancel := within(ctx, flags.timeout)
	defer cancel()
	return awaitReady(ctx, std, cluster, unit, decided(token))
}

// ask sets annotations by which somebody asks for something, and says who and why.
func ask(ctx context.Context, cluster *fleet.Cluster, unit fleet.Resource, now time.Time, reason string, annotations map[string]string) (string, error) {
	if unit.Spec.Suspend {
		return "", &fleet.SuspendedError{Resource: unit}
	}
	annotations[delivery.AnnotationRequestedBy] = cluster.Whoami(ctx)
	annotations[delivery.AnnotationReason] = reason
	return cluster.Ask(ctx, unit, now, annotations)
}

// decided is over when a request was handled and no rollback is under way.
func decided(token string) fleet.Until {
	handled := fleet.Handled(token)
	return func(unit fleet.Resource) bool { return handled(unit) && unit.Ready().Reason != reasonRollingBack }
}

// The reasons of the controller that commands look for.
const (
	reasonRollingBack = "RollingBack"
	reasonRolledBack  = "RolledBack"
)
