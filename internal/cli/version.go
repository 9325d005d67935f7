package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"

	"holdfast.dev/holdfast/internal/cli/table"
	"holdfast.dev/holdfast/internal/localcluster"
)

type versionFlags struct {
	target *target
	output output
	client bool
}

func newVersionCommand(std Streams, target *target) *cobra.Command {
	flags := versionFlags{target: target}
	command := &cobra.Command{
		Use:               "version",
		Short:             "Show the versions of this program, of the Kubernetes in it, and of the cluster",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			return runVersion(command.Context(), std, flags)
		},
	}
	flags.output.register(command, outputJSON, outputYAML)
	command.Flags().BoolVar(&flags.client, "client", false, "do not ask the cluster")
	return command
}

// versions is what the command prints; the names of its fields are for scripts.
type versions struct {
	Holdfast   string `json:"holdfast"`
	Kubernetes string `json:"kubernetes"`
	Server     string `json:"server,omitempty"`
}

func runVersion(ctx context.Context, std Streams, flags versionFlags) error {
	found := versions{Holdfast: clientVersion(), Kubernetes: localcluster.KubernetesVersion()}
	if !flags.client {
		found.Server = serverVersion(ctx, flags.target)
	}
	if flags.output.structured() {
		return flags.output.encode(std.Out, found, true)
	}
	fmt.Fprintf(std.Out, "holdfast:   %s\nkubernetes: %s (built in)\n", found.Holdfast, found.Kubernetes)
	switch {
	case found.Server != "":
		fmt.Fprintf(std.Out, "server:     %s\n", found.Server)
	case !flags.client:
		fmt.Fprintln(std.Out, "server:     none reached")
	}
	return nil
}

// clientVersion is the module's version, or the commit that the program was built from.
func clientVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if version := info.Main.Version; version != "" && version != "(devel)" {
		return version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return "devel+" + setting.Value[:min(12, len(setting.Value))]
		}
	}
	return "devel"
}

// serverTimeout is short: whoever asks for versions often has no cluster.
const serverTimeout = 3 * time.Second

// serverVersion asks the cluster, if there is one, and returns nothing if not.
func serverVersion(ctx context.Context, target *target) string {
	config, err := target.config()
	if err != nil {
		return ""
	}
	config.Timeout = serverTimeout
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return ""
	}
	raw, err := client.RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return ""
	}
	var answer apiversion.Info
	if err := json.Unmarshal(raw, &answer); err != nil {
		return ""
	}
	return table.OneLine(answer.GitVersion)
}
