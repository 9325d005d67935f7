package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/cli/table"
)

// defaultTimeout is how long commands wait for a verdict; it is the default of Flux's command line.
const defaultTimeout = 5 * time.Minute

type reconcileFlags struct {
	target     *target
	subject    fleet.Subject
	withSource bool
	wait       bool
	timeout    time.Duration
}

func newReconcileCommand(std Streams, target *target) *cobra.Command {
	flags := reconcileFlags{target: target}
	command := &cobra.Command{
		Use:   "reconcile (unit|source|KIND) NAME",
		Short: "Ask for a reconciliation now, and wait for its verdict",
		Example: "  holdfast reconcile unit apps --with-source\n" +
			"  holdfast reconcile source gitrepository/platform\n" +
			"  holdfast reconcile unit apps --wait=false",
		ValidArgsFunction: target.completeSubject("unit", "source"),
		RunE: func(command *cobra.Command, args []string) (err error) {
			if flags.subject, err = parseSubject(args); err != nil {
				return err
			}
			return runReconcile(command.Context(), std, flags)
		},
	}
	set := command.Flags()
	set.BoolVar(&flags.withSource, "with-source", false, "reconcile the unit's source first")
	set.BoolVar(&flags.wait, "wait", true, "wait for the verdict")
	set.DurationVar(&flags.timeout, "timeout", defaultTimeout, "how long to wait at most")
	return command
}

func runReconcile(ctx context.Context, std Streams, flags reconcileFlags) error {
	name, err := flags.subject.One()
	if err != nil {
		return hinted(err, subjectHint)
	}
	cluster, err := flags.target.connect()
	if err != nil {
		return err
	}
	resource, err := cluster.Find(ctx, flags.subject.Kinds, flags.target.namespace, name)
	if err != nil {
		return err
	}
	ctx, cancel := within(ctx, flags.timeout)
	defer cancel()
	if resource.Spec.Suspend {
		return &fleet.SuspendedError{Resource: resource}
	}
	if flags.withSource {
		source, err := sourceOf(ctx, cluster, resource)
		if err != nil {
			return err
		}
		// The unit has to see the source's new revision, so this wait is not left out.
		if err := reconcile(ctx, std, cluster, source, reconcileFlags{target: flags.target, wait: true}); err != nil {
			return err
		}
	}
	return reconcile(ctx, std, cluster, resource, flags)
}

// within bounds ctx and says so in the cause of its end.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no verdict within %s", timeout))
}

// sourceOf returns the source that feeds the unit. A Helm chart is fed from a repository in turn, but
// it is the chart that the unit takes.
func sourceOf(ctx context.Context, cluster *fleet.Cluster, unit fleet.Resource) (fleet.Resource, error) {
	ref, found := unit.Source()
	if !found {
		return fleet.Resource{}, hinted(fmt.Errorf("%s names no source", unit), "leave --with-source out")
	}
	for _, kind := range fleet.KindsNamed(ref.Kind) {
		if version, err := schema.ParseGroupVersion(ref.APIVersion); err != nil || version.Group != "" && version.Group != kind.Group {
			continue
		}
		return cluster.Find(ctx, []fleet.Kind{kind}, ref.Namespace, ref.Name)
	}
	return fleet.Resource{}, fmt.Errorf("%s is fed from %s/%s, which is no kind of source", unit, ref.Kind, ref.Name)
}

// reconcile asks for one reconciliation, and waits for its verdict where that is wanted.
func reconcile(ctx context.Context, std Streams, cluster *fleet.Cluster, resource fleet.Resource, flags reconcileFlags) error {
	if resource.Spec.Suspend {
		return &fleet.SuspendedError{Resource: resource}
	}
	if resource.Static() {
		what := "is only an address"
		if resource.Kind.Role == fleet.Notice {
			what = "is looked at when there is something to tell"
		}
		fmt.Fprintf(std.Out, "%s %s: there is nothing to reconcile\n", resource, what)
		return nil
	}
	token, err := cluster.Request(ctx, resource, flags.target.now())
	if err != nil {
		return err
	}
	fmt.Fprintf(std.Out, "%s: reconciliation requested\n", resource)
	if !flags.wait {
		return nil
	}
	return awaitReady(ctx, std, cluster, resource, fleet.Handled(token))
}

// awaitReady waits for a verdict and shows it; on a terminal also what happens on the way.
func awaitReady(ctx context.Context, std Streams, cluster *fleet.Cluster, resource fleet.Resource, until fleet.Until) error {
	shown := ""
	settled, err := cluster.Await(ctx, resource, until, func(now fleet.Resource) {
		ready := now.Ready()
		if !std.IsTerminal() || ready.Status == metav1.ConditionTrue || ready.Message == shown {
			return
		}
		shown = ready.Message
		line := fmt.Sprintf("%s: %s", now, table.OneLine(table.ShortDigests(shown)))
		fmt.Fprintln(std.Out, table.Paint(line, table.Faint, std.Colour()))
	})
	if err != nil {
		return err
	}
	ready := table.Paint("ready", table.Good, std.Colour())
	_, err = fmt.Fprintf(std.Out, "%s: %s: %s\n", settled, ready, table.OneLine(settled.Ready().Message))
	return err
}
