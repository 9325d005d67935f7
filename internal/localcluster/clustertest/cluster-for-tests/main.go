// Command cluster-for-tests runs an ephemeral cluster for the tests of one package. It prints one
// line when the cluster is ready (clustertest reads it) and ends when its standard input does, which
// the operating system closes when the test process is gone, however it went.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"holdfast.dev/holdfast/internal/localcluster"
)

// ready is the line that tells that the cluster is ready; clustertest has its twin.
type ready struct {
	Kubeconfig string `json:"kubeconfig"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out, log io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in)
	}()
	cluster, err := localcluster.Start(ctx, localcluster.Options{Ephemeral: true, LogWriter: log})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(ready{Kubeconfig: string(cluster.Kubeconfig())}); err != nil {
		cancel()
	}
	return cluster.Wait()
}
