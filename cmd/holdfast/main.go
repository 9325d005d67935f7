// Command holdfast is all of Holdfast in one program: command line, controller and local cluster.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"holdfast.dev/holdfast/internal/cli"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Main(ctx, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Args[1:])
}
