package localcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// oneCluster keeps a second cluster out of this process: the components share package variables.
var oneCluster = make(chan struct{}, 1) //nolint:gochecknoglobals // guards what is global to the process

// errStopped is the cause with which a stop ends the components.
var errStopped = errors.New("the cluster is being stopped")

// Cluster is a running control plane.
type Cluster struct {
	folder     folder
	options    Options
	started    time.Time
	hold       *hold
	sink       *sink
	listener   *listener
	store      *store
	kubeconfig []byte
	config     *rest.Config
	merged     *merge // what was done to Options.KubeconfigPath; nil without one

	settled chan struct{} // closed when the API server has become ready, or ended; nil before it was started
	servers group         // the API server
	clients group         // what talks to it; stopped before it

	stop context.CancelCauseFunc // asks for the stop
	done chan struct{}           // closed when all has stopped
	err  error                   // why the cluster stopped by itself; readable after done
}

// Start brings a cluster up and returns when everything in it is ready: the API answers, the nodes
// are Ready, and workloads can be created in namespace default. The cluster runs until ctx ends, Stop
// is called, or a component fails. When Start returns an error, nothing is left running.
//
// A data folder that another process uses is a *RunningError.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	options, err := options.complete()
	if err != nil {
		return nil, fmt.Errorf("starting the cluster: %w", err)
	}
	select {
	case oneCluster <- struct{}{}:
	default:
		return nil, errors.New("starting the cluster: this process already runs one")
	}
	c := &Cluster{options: options, started: options.Now(), done: make(chan struct{})}
	running, stop := context.WithCancelCause(ctx)
	c.stop = stop
	err = c.start(running)
	go c.watchOver(running)
	if err != nil {
		c.stop(err)
		<-c.done
		if errors.Is(err, context.Canceled) && c.err != nil {
			err = c.err
		}
		return nil, err
	}
	return c, nil
}

// start brings up the parts in order. What it has begun when it fails, shutdown ends.
func (c *Cluster) start(ctx context.Context) error {
	starting, cancel := context.WithTimeoutCause(ctx, c.options.StartTimeout,
		fmt.Errorf("the cluster did not become ready within %s", c.options.StartTimeout))
	defer cancel()
	if err := c.prepare(ctx); err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	captureKlog(c.sink, c.fail)

	c.options.Progress(StageStore)
	var err error
	if c.store, err = startStore(starting, c.folder, c.sink, c.fail); err != nil {
		return err
	}
	c.options.Progress(StageAPIServer)
	if err := c.startAPIServer(starting); err != nil {
		return fmt.Errorf("starting the API server: %w", err)
	}
	c.options.Progress(StageControllers)
	if err := c.startClients(starting); err != nil {
		return err
	}
	if err := c.hold.say(c.holder(true)); err != nil {
		return err
	}
	debug.FreeOSMemory() // a start leaves as much garbage as the cluster needs to live
	c.options.Progress(StageReady)
	return nil
}

// prepare takes the data folder and makes what the components read from it.
func (c *Cluster) prepare(ctx context.Context) error {
	c.options.Progress(StageCredentials)
	if c.options.Ephemeral {
		sweepEphemeral(c.options.Now())
	}
	var err error
	if c.folder, err = makeFolder(c.options.Dir); err != nil {
		return err
	}
	if c.hold, err = acquire(ctx, c.folder); err != nil {
		return err
	}
	if err := c.hold.say(Holder{PID: os.Getpid(), Started: c.started}); err != nil {
		return err
	}
	c.sink = openSink(c.folder, c.options.LogWriter)
	return ensureCredentials(c.folder, c.options.Now())
}

func (c *Cluster) holder(ready bool) Holder {
	return Holder{
		PID: os.Getpid(), Server: c.Server(), Kubeconfig: c.KubeconfigPath(), Ready: ready, Started: c.started,
	}
}

// watchOver waits for the end of ctx and then stops everything.
func (c *Cluster) watchOver(ctx context.Context) {
	<-ctx.Done()
	cause := context.Cause(ctx)
	if !errors.Is(cause, errStopped) && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		c.err = cause
	}
	c.shutdown()
	<-oneCluster
	close(c.done)
}

// fail stops the cluster because of err.
func (c *Cluster) fail(err error) { c.stop(err) }

// grace is how long one group of components may take to end before the stop goes on without it.
const grace = 3 * time.Second

// shutdown ends the parts in reverse order, so that none sees another one fail.
func (c *Cluster) shutdown() {
	c.clients.end(grace)
	c.settle()
	if c.listener != nil {
		// Watches end by themselves within a second; what is still open then belongs to idle clients.
		cut := time.AfterFunc(1200*time.Millisecond, c.listener.cut)
		c.servers.end(grace)
		cut.Stop()
		_ = c.listener.Close()
		c.listener.cut()
	}
	if c.store != nil {
		c.store.stop()
	}
	if c.sink != nil {
		c.sink.close()
	}
	if c.options.Ephemeral && c.merged != nil {
		c.merged.undo()
	}
	if c.options.Ephemeral && c.folder != "" {
		_ = os.RemoveAll(string(c.folder))
	}
	if c.hold != nil {
		c.hold.release()
	}
}

// settle lets the start of the API server come to its end. Its hooks do not expect to be called off:
// they write to a closed etcd client again and again, and complain on the terminal.
func (c *Cluster) settle() {
	if c.settled == nil {
		return
	}
	timer := time.NewTimer(2 * grace)
	defer timer.Stop()
	select {
	case <-c.settled:
	case <-timer.C:
	}
}

// Stop ends the cluster and returns when it has, or when ctx ends. It may be called more than once.
func (c *Cluster) Stop(ctx context.Context) error {
	c.stop(errStopped)
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("stopping the cluster: %w", context.Cause(ctx))
	}
}

// Done is closed when the cluster has stopped, for whatever reason.
func (c *Cluster) Done() <-chan struct{} { return c.done }

// Wait returns when the cluster has stopped: nil after Stop or the end of Start's context, else the
// error of the component that failed.
func (c *Cluster) Wait() error {
	<-c.done
	return c.err
}

// Server is the URL of the API server.
func (c *Cluster) Server() string { return "https://" + c.listener.Addr().String() }

// Dir is the data folder.
func (c *Cluster) Dir() string { return string(c.folder) }

// LogPath is the file that the components log to; it is not written with Options.LogWriter.
func (c *Cluster) LogPath() string { return c.folder.log() }

// Kubeconfig is the text of the kubeconfig of an administrator.
func (c *Cluster) Kubeconfig() []byte { return append([]byte(nil), c.kubeconfig...) }

// KubeconfigPath is the file in which clients find the cluster: Options.KubeconfigPath, where it is
// the context ContextName, or else a file in the data folder.
func (c *Cluster) KubeconfigPath() string {
	if c.options.KubeconfigPath != "" {
		return c.options.KubeconfigPath
	}
	return c.folder.kubeconfig()
}

// Config is a client configuration of an administrator, without a client-side limit on requests. The
// caller owns the copy.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// group is a set of components that end together.
type group struct {
	ctx    context.Context //nolint:containedctx // the lifetime of the group, not of a call
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// begin readies the group. Its lifetime is not that of ctx, of which it takes only the values,
// because the groups end in order.
func (g *group) begin(ctx context.Context) {
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
}

// run runs component in the group; fail hears of an error that comes before the group's end.
func (g *group) run(name string, fail func(error), component func(context.Context) error) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		defer func() {
			if r := recover(); r != nil {
				fail(fmt.Errorf("running the %s: panic: %v", name, r))
			}
		}()
		if err := component(g.ctx); err != nil && g.ctx.Err() == nil {
			fail(fmt.Errorf("running the %s: %w", name, err))
		}
	}()
}

// end stops the group and waits for it, but no longer than limit.
func (g *group) end(limit time.Duration) {
	if g.cancel == nil {
		return
	}
	g.cancel()
	ended := make(chan struct{})
	go func() {
		g.wg.Wait()
		close(ended)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}
