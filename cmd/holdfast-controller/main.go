// Command holdfast-controller is the daemon alone, for a container image: no embedded cluster, and
// no commands besides.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"holdfast.dev/holdfast/internal/cli/daemon"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var kubeconfig string
	command := daemon.New(os.Stderr, func() (*rest.Config, error) {
		return clientcmd.BuildConfigFromFlags("", kubeconfig)
	})
	command.Use = "holdfast-controller"
	command.SilenceErrors, command.SilenceUsage = true, true
	command.Flags().StringVar(&kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig file (default: the pod that this runs in)")
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "holdfast-controller:", err)
		return 1
	}
	return 0
}
