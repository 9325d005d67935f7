package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/operator"
)

// Options say what to bring up.
type Options struct {
	Target string // folder or URL; empty is this folder, or the demo's own
	Branch string // of a URL; empty is main
	Env    string // delivers clusters/Env
	Path   string // delivers this folder
	Demo   bool   // makes the example platform in the folder first
	// Once ends when everything is ready, and fails when something is not within Timeout.
	Once    bool
	Timeout time.Duration

	Platform fs.FS  // the example platform
	Keys     string // folder of the demo's keys, where `holdfast secrets` finds them
	Out      io.Writer
	Colour   bool
	// Start starts the cluster and tells progress; the returned function stops it.
	Start func(ctx context.Context, progress func(stage string)) (Cluster, error)
}

// Cluster is a running cluster.
type Cluster interface {
	Config() *rest.Config
	KubeconfigPath() string
	Dir() string
	Done() <-chan struct{}
	Wait() error
	Stop(ctx context.Context) error
}

const (
	namespace   = "flux-system"
	rootName    = "flux-system"
	stopTimeout = 20 * time.Second

	// demoBake is how long a release of the demo has to stay healthy to be good: people want to break
	// something soon.
	demoBake = 10 * time.Second
)

// Run brings the platform up and reports on it until ctx ends, or, with Once, until it stands.
func Run(ctx context.Context, o Options) error {
	deliver, err := find(ctx, o)
	if err != nil {
		return err
	}
	say := newReporter(o.Out, o.Colour)
	say.origin(deliver)
	began := time.Now()
	cluster, err := o.Start(ctx, say.stage)
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := cluster.Stop(stop); err != nil {
			say.line("stopping the cluster: %s", err)
		}
	}()
	say.cluster(cluster, time.Since(began))
	return run(ctx, o, deliver, cluster, say)
}

// run runs everything that lives beside the cluster. The first part to end ends the others.
func run(ctx context.Context, o Options, deliver origin, cluster Cluster, say *reporter) error {
	dir, err := dataDir(cluster)
	if err != nil {
		return err
	}
	config := operator.Config{
		REST: cluster.Config(), Dir: dir, InstallCRDs: true, Jitter: 0.05, Log: logr.Discard(),
		LoopbackAlerts: true, // whoever runs this may well try an alert against a program beside it
	}
	if o.Demo {
		config.Kustomizations.Releases.Bake = demoBake
		if deliver.keys, err = keysFor(deliver, o.Keys); err != nil {
			return err
		}
		say.keys(deliver, o.Keys)
	}
	daemon, err := operator.New(ctx, config)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	ended := errors.New("ended")
	group.Go(func() error { return daemon.Run(ctx) })
	group.Go(func() error {
		select {
		case <-cluster.Done():
			return fmt.Errorf("the cluster stopped: %w", errors.Join(cluster.Wait(), ended))
		case <-ctx.Done():
			return nil
		}
	})
	if deliver.repository != nil {
		url, serve, err := serveFolder(deliver)
		if err != nil {
			return err
		}
		deliver.url = url
		group.Go(func() error { return serve(ctx) })
		group.Go(func() error {
			return deliver.repository.Watch(ctx, func() { daemon.WakeSource(namespace, rootName) })
		})
	}
	group.Go(func() error {
		client, err := kube.Connect("", cluster.Config(), kube.Options{UserAgent: "holdfast-up"})
		if err != nil {
			return err
		}
		if err := bootstrap(ctx, client, deliver); err != nil {
			return err
		}
		if err := follow(ctx, cluster.Config(), o, say.summaryOf(cluster, deliver, o.Demo)); err != nil {
			return err
		}
		return ended
	})
	if err := group.Wait(); err != nil && !errors.Is(err, ended) && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// dataDir is where the controller keeps artifacts: beside the cluster's own data.
func dataDir(cluster Cluster) (string, error) {
	dir := filepath.Join(cluster.Dir(), "controller")
	return dir, os.MkdirAll(dir, 0o700)
}

// serveFolder serves a local repository on loopback, for the controller's own Git client.
func serveFolder(deliver origin) (url string, serve func(context.Context) error, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serving %s: %w", deliver.repository.Dir(), err)
	}
	server := &http.Server{Handler: deliver.repository.Handler(), ReadHeaderTimeout: 10 * time.Second}
	url = fmt.Sprintf("http://%s/%s", listener.Addr(), filepath.Base(deliver.repository.Dir()))
	return url, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = server.Close() })
		defer stop()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving %s: %w", deliver.repository.Dir(), err)
		}
		return nil
	}, nil
}
