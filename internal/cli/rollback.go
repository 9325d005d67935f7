package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/cli/releases"
	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/pipeline/settle"
)

type rollbackFlags struct {
	retryFlags
	to      int64
	preview bool
	yes     bool
}

func newRollbackCommand(std Streams, target *target) *cobra.Command {
	flags := rollbackFlags{retryFlags: retryFlags{shelfFlags: shelfFlags{target: target}}}
	command := &cobra.Command{
		Use:   "rollback UNIT",
		Short: "Bring a unit back to an older release, and hold it there",
		Long: "Rollback shows what going back would change, asks, and brings the unit back to an older release: the\n" +
			"good one before the release that stands, or the one that --to names. What Git wants is held until it\n" +
			"changes, or until `holdfast retry`.",
		Example: "  holdfast rollback apps --preview\n  holdfast rollback apps --to 3 --reason 'orders are lost' --yes",
		RunE: func(command *cobra.Command, args []string) error {
			flags.unit = args[0]
			return runRollback(command.Context(), std, flags)
		},
	}
	flags.register(command)
	set := command.Flags()
	set.Int64Var(&flags.to, "to", 0, "number of the release to go back to (default: the good one before)")
	set.BoolVar(&flags.preview, "preview", false, "show what would change, and stop there")
	set.BoolVarP(&flags.yes, "yes", "y", false, "do not ask")
	set.StringVar(&flags.reason, "reason", "", "why; it gets into the record")
	set.BoolVar(&flags.wait, "wait", true, "wait until it is done")
	set.DurationVar(&flags.timeout, "timeout", defaultTimeout, "how long to wait at most")
	return command
}

func runRollback(ctx context.Context, std Streams, flags rollbackFlags) error {
	cluster, unit, shelf, err := flags.open(ctx)
	if err != nil {
		return err
	}
	number, err := flags.show(ctx, std, shelf)
	if err != nil || flags.preview {
		return err
	}
	if !flags.yes && !agreed(std) {
		return errors.New("nothing was changed")
	}
	token, err := ask(ctx, cluster, unit, flags.target.now(), flags.reason, map[string]string{
		delivery.AnnotationRollBack:   flags.target.now().UTC().Format(time.RFC3339Nano),
		delivery.AnnotationRollBackTo: strconv.FormatInt(number, 10), delivery.AnnotationRetry: "",
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(std.Out, "%s: going back to release %d requested\n", unit, number)
	if !flags.wait {
		return nil
	}
	ctx, cancel := within(ctx, flags.timeout)
	defer cancel()
	return awaitBack(ctx, std, cluster, unit, token)
}

// show tells what going back would change, and returns the release that it leads to.
func (f rollbackFlags) show(ctx context.Context, std Streams, shelf *releases.Shelf) (int64, error) {
	book := shelf.Book()
	standing, stands := book.Standing()
	target, found := settle.Destination(book, settle.Wish{To: f.to})
	switch {
	case !stands:
		return 0, fmt.Errorf("%s has no releases yet", f.unit)
	case !found && f.to != 0:
		return 0, hinted(fmt.Errorf("release %d cannot be gone back to", f.to), "`holdfast history %s` lists the releases that are kept", f.unit)
	case !found:
		return 0, hinted(errors.New("there is no earlier good release to go back to"), "`holdfast history %s` lists the releases that are kept", f.unit)
	case target.Number == standing.Number:
		return 0, fmt.Errorf("release %d is the one that stands", target.Number)
	}
	changes, err := shelf.Compare(ctx, standing.Number, target.Number)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(std.Out, "from release %d (%s) to release %d (%s):\n", standing.Number, standing.Label.Revision, target.Number, target.Label.Revision)
	return target.Number, changes.Write(std.Out, std.Colour())
}

// agreed asks for a yes.
func agreed(std Streams) bool {
	fmt.Fprint(std.Out, "Go back? [y/N] ")
	answer, _ := bufio.NewReader(std.In).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// awaitBack waits until the unit is back. That it is not ready then is what was asked for.
func awaitBack(ctx context.Context, std Streams, cluster *fleet.Cluster, unit fleet.Resource, token string) error {
	err := awaitReady(ctx, std, cluster, unit, decided(token))
	var failed *fleet.FailedError
	if errors.As(err, &failed) && failed.Resource.Ready().Reason == reasonRolledBack {
		_, err = fmt.Fprintf(std.Out, "%s: rolled back: %s\n", failed.Resource, failed.Resource.Ready().Message)
	}
	return err
}
