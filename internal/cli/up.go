package cli

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/examples"
	"holdfast.dev/holdfast/internal/cli/up"
	"holdfast.dev/holdfast/internal/localcluster"
	"holdfast.dev/holdfast/internal/secret/keyring"
)

type upFlags struct {
	up.Options
	cluster localcluster.Options
}

func newUpCommand(std Streams) *cobra.Command {
	var f upFlags
	command := &cobra.Command{
		Use:   "up [DIR|URL]",
		Short: "Bring up a cluster and deliver a Git repository to it",
		Long: "Bring up a real Kubernetes control plane on this machine, deliver a Git repository to it, and go on\n" +
			"doing so: each commit is live at once. The nodes are simulated, so nothing is downloaded or run.",
		Example: "  holdfast up --demo             # the example platform, in ./holdfast-demo\n" +
			"  holdfast up --env dev          # clusters/dev of this repository\n" +
			"  holdfast up https://example.com/platform.git --path deploy",
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 1 {
				f.Target = args[0]
			}
			return runUp(command.Context(), std, f)
		},
	}
	flags := command.Flags()
	flags.BoolVar(&f.Demo, "demo", false, "make the example platform in DIR (default holdfast-demo) first, unless it is there already")
	flags.StringVar(&f.Env, "env", "", "environment to deliver: the folder clusters/NAME")
	flags.StringVar(&f.Path, "path", "", "folder to deliver, where the repository has no clusters/NAME")
	flags.StringVar(&f.Branch, "branch", "", "branch of a URL (default main)")
	flags.BoolVar(&f.Once, "once", false, "end when everything is ready, with an error if that takes too long")
	flags.DurationVar(&f.Timeout, "timeout", 5*time.Minute, "how long --once waits")
	flags.BoolVar(&f.cluster.Ephemeral, "ephemeral", false, "keep nothing of the cluster afterwards")
	flags.StringVar(&f.cluster.Dir, "data", "", "data folder of the cluster (default: holdfast/cluster in the XDG data folder)")
	flags.IntVar(&f.cluster.Nodes, "nodes", 0, "number of simulated nodes")
	return command
}

func runUp(ctx context.Context, std Streams, f upFlags) error {
	if config, err := os.UserConfigDir(); err == nil { // without one, the demo says what is missing
		f.Keys = keyring.Folder(config)
	}
	f.Platform, f.Out, f.Colour = examples.Platform(), std.Out, std.Colour()
	f.Start = func(ctx context.Context, progress func(string)) (up.Cluster, error) {
		f.cluster.Progress = progress
		return localcluster.Start(ctx, f.cluster)
	}
	return up.Run(ctx, f.Options)
}
