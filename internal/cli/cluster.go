package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/localcluster"
)

func newClusterCommand(std Streams) *cobra.Command {
	command := &cobra.Command{
		Use:   "cluster",
		Short: "Run the embedded Kubernetes control plane alone",
		Long: "Cluster runs a real Kubernetes control plane on this machine, without Holdfast's controller: etcd,\n" +
			"API server, controller manager and scheduler in one process, with simulated nodes. Workloads become\n" +
			"ready there, but no container runs.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newClusterStartCommand(std), newClusterStopCommand(std), newClusterStatusCommand(std))
	return command
}

type clusterStartFlags struct {
	data       string
	ephemeral  bool
	kubeconfig string
	nodes      int
	port       int
}

func newClusterStartCommand(std Streams) *cobra.Command {
	var flags clusterStartFlags
	command := &cobra.Command{
		Use:   "start",
		Short: "Start the cluster, and run it until Ctrl-C",
		Example: "  holdfast cluster start\n  holdfast cluster start --ephemeral --kubeconfig ~/.kube/config\n" +
			"  holdfast cluster start --data /srv/cluster --nodes 10",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return runClusterStart(command.Context(), std, flags)
		},
	}
	set := command.Flags()
	set.StringVar(&flags.data, "data", "", "folder for the cluster's data (default: the user's data folder)")
	set.BoolVar(&flags.ephemeral, "ephemeral", false, "keep no data")
	set.StringVar(&flags.kubeconfig, "kubeconfig", "", "file to add the context "+localcluster.ContextName+" to (default: a file in the data folder)")
	set.IntVar(&flags.nodes, "nodes", 0, "simulated nodes (default 3)")
	set.IntVar(&flags.port, "port", 0, "port of the API server on 127.0.0.1 (default: the one of last time, or a free one)")
	command.MarkFlagsMutuallyExclusive("data", "ephemeral")
	_ = command.MarkFlagDirname("data")
	return command
}

func runClusterStart(ctx context.Context, std Streams, flags clusterStartFlags) error {
	kubeconfig, err := absolute(flags.kubeconfig)
	if err != nil {
		return err
	}
	began := time.Now()
	cluster, err := localcluster.Start(ctx, localcluster.Options{
		Dir:            flags.data,
		Ephemeral:      flags.ephemeral,
		KubeconfigPath: kubeconfig,
		Nodes:          flags.nodes,
		Port:           flags.port,
		Progress: func(stage string) {
			if stage != localcluster.StageReady {
				fmt.Fprintf(std.Err, "starting %s\n", stage)
			}
		},
	})
	var running *localcluster.RunningError
	if errors.As(err, &running) {
		return hinted(err, "`holdfast cluster status` shows it, `holdfast cluster stop` ends it")
	}
	if err != nil {
		return err
	}
	kept := "kept in " + cluster.Dir()
	if flags.ephemeral {
		kept = "not kept; until the end it is in " + cluster.Dir()
	}
	fmt.Fprintf(std.Out, "Kubernetes %s is ready at %s after %.1f s.\n", localcluster.KubernetesVersion(), cluster.Server(), time.Since(began).Seconds())
	fmt.Fprintf(std.Out, "Data is %s.\n\n", kept)
	fmt.Fprintf(std.Out, "  export KUBECONFIG=%s\n\n", shellQuote(cluster.KubeconfigPath()))
	fmt.Fprintln(std.Out, "Press Ctrl-C to stop.")
	return cluster.Wait()
}

type clusterFolderFlags struct {
	data    string
	timeout time.Duration
	output  output
}

func newClusterStopCommand(std Streams) *cobra.Command {
	var flags clusterFolderFlags
	command := &cobra.Command{
		Use:   "stop",
		Short: "Stop the running cluster and wait until it is gone",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return runClusterStop(command.Context(), std, flags)
		},
	}
	registerClusterFolder(command, &flags)
	command.Flags().DurationVar(&flags.timeout, "timeout", 30*time.Second, "how long to wait")
	return command
}

func runClusterStop(ctx context.Context, std Streams, flags clusterFolderFlags) error {
	dir, err := clusterFolder(flags.data)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	ran, err := localcluster.Terminate(ctx, dir)
	if err != nil {
		return err
	}
	if !ran {
		fmt.Fprintf(std.Out, "No cluster runs on %s.\n", dir)
		return nil
	}
	fmt.Fprintf(std.Out, "The cluster on %s has stopped.\n", dir)
	return nil
}

func newClusterStatusCommand(std Streams) *cobra.Command {
	var flags clusterFolderFlags
	command := &cobra.Command{
		Use:   "status",
		Short: "Show whether the cluster runs, and how to reach it",
		Long:  "Status shows whether the cluster runs and how to reach it. It ends with code 1 when none runs.",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return runClusterStatus(command.Context(), std, flags)
		},
	}
	registerClusterFolder(command, &flags)
	flags.output.register(command, outputJSON, outputYAML)
	return command
}

// clusterStatus is what status prints for programs.
type clusterStatus struct {
	Running bool   `json:"running"`
	Data    string `json:"data"`
	localcluster.Holder
}

func runClusterStatus(_ context.Context, std Streams, flags clusterFolderFlags) error {
	dir, err := clusterFolder(flags.data)
	if err != nil {
		return err
	}
	holder, running, err := localcluster.Running(dir)
	if err != nil {
		return err
	}
	if flags.output.structured() {
		if err := flags.output.encode(std.Out, clusterStatus{Running: running, Data: dir, Holder: holder}, true); err != nil {
			return err
		}
	}
	if !running {
		return hinted(fmt.Errorf("no cluster runs on %s", dir), "`holdfast cluster start` starts it")
	}
	if flags.output.structured() {
		return nil
	}
	state := "ready"
	if !holder.Ready {
		state = "starting"
	}
	fmt.Fprintf(std.Out, "State:       %s since %s\n", state, holder.Started.Local().Format(time.DateTime))
	fmt.Fprintf(std.Out, "Process:     %d\n", holder.PID)
	fmt.Fprintf(std.Out, "API server:  %s\n", holder.Server)
	fmt.Fprintf(std.Out, "Kubeconfig:  %s\n", holder.Kubeconfig)
	fmt.Fprintf(std.Out, "Data:        %s\n", dir)
	return nil
}

func registerClusterFolder(command *cobra.Command, flags *clusterFolderFlags) {
	command.Flags().StringVar(&flags.data, "data", "", "folder of the cluster's data (default: the user's data folder)")
	_ = command.MarkFlagDirname("data")
}

// clusterFolder is the data folder that a flag names, or the user's.
func clusterFolder(data string) (string, error) {
	if data == "" {
		return localcluster.DefaultDir()
	}
	return absolute(data)
}

// absolute resolves a path from the command line; the empty one stays.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	resolved, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", path, err)
	}
	return resolved, nil
}
