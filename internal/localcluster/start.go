package localcluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// pollEvery is how often a start looks whether a component has become ready. It only looks at things
// of this process, for a few seconds.
const pollEvery = 15 * time.Millisecond

// startAPIServer runs the API server and waits until it is ready.
func (c *Cluster) startAPIServer(ctx context.Context) error { //nolint:contextcheck // what is started outlives the start
	var err error
	if c.listener, err = listen(ctx, c.folder, c.options.Port); err != nil {
		return err
	}
	for _, component := range []string{"controller-manager", "scheduler", "nodes"} {
		if _, err := writeKubeconfig(c.folder, c.Server(), component, c.folder.componentConfig(component)); err != nil {
			return err
		}
	}
	if c.kubeconfig, err = writeKubeconfig(c.folder, c.Server(), "admin", c.folder.kubeconfig()); err != nil {
		return err
	}
	if c.config, err = clientConfig(c.folder.kubeconfig(), "holdfast"); err != nil {
		return err
	}
	if err := c.hold.say(c.holder(false)); err != nil {
		return err
	}
	c.servers.begin(ctx)
	server, err := newAPIServer(c.servers.ctx, c.folder, c.store.endpoint, c.listener)
	if err != nil {
		return err
	}
	settling, settled := context.WithCancel(c.servers.ctx)
	c.servers.run("API server", c.fail, func(ctx context.Context) error {
		defer settled()
		err := server.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		return unexpected(err)
	})
	c.settled = make(chan struct{})
	go func() {
		defer close(c.settled)
		defer settled()
		c.untilServing(settling)
	}()
	select {
	case <-c.settled:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.options.KubeconfigPath == "" {
		return nil
	}
	c.merged, err = mergeKubeconfig(c.options.KubeconfigPath, c.kubeconfig)
	return err
}

// untilServing returns when the API server is ready, or when ctx ends because it never will be.
func (c *Cluster) untilServing(ctx context.Context) {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		c.fail(err)
		return
	}
	_ = poll(ctx, func(ctx context.Context) (bool, error) {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil, nil
	})
}

// startClients runs what makes a cluster of the API server, and waits until workloads can be created.
func (c *Cluster) startClients(ctx context.Context) error {
	config, err := clientConfig(c.folder.componentConfig("nodes"), "holdfast-simulated-nodes")
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("starting the controllers: %w", err)
	}
	c.clients.begin(ctx)
	c.clients.run("controller manager", c.fail, func(ctx context.Context) error { return runControllerManager(ctx, c.folder) })
	c.clients.run("scheduler", c.fail, func(ctx context.Context) error { return runScheduler(ctx, c.folder) })
	c.clients.run("simulated volumes", c.fail, func(ctx context.Context) error { return provisionVolumes(ctx, client) })
	if err := simulateNodes(c.clients.ctx, c.folder, config, c.sink); err != nil { //nolint:contextcheck // what is started outlives the start
		return fmt.Errorf("starting the simulated nodes: %w", err)
	}
	jobs, ctx := errgroup.WithContext(ctx)
	jobs.Go(func() error { return createStorageClass(ctx, client) })
	jobs.Go(func() error {
		if err := createNodes(ctx, client, c.options.Nodes); err != nil {
			return err
		}
		return waitForNodes(ctx, client, c.options.Nodes)
	})
	jobs.Go(func() error { return waitForDefaults(ctx, client) })
	if err := jobs.Wait(); err != nil {
		return fmt.Errorf("starting the controllers: %w", err)
	}
	return nil
}

// waitForNodes returns when the nodes are Ready and Pods may be scheduled on them.
func waitForNodes(ctx context.Context, client kubernetes.Interface, count int) error {
	return poll(ctx, func(ctx context.Context) (bool, error) {
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: nodeRole})
		if err != nil {
			return false, nil //nolint:nilerr // asked again until ctx ends
		}
		ready := 0
		for i := range nodes.Items {
			if isReady(&nodes.Items[i]) {
				ready++
			}
		}
		return ready >= count, nil
	})
}

func isReady(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady || taint.Key == corev1.TaintNodeUnreachable {
			return false
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// waitForDefaults returns when Pods can be created in namespace default: without the service account
// the API server refuses them.
func waitForDefaults(ctx context.Context, client kubernetes.Interface) error {
	return poll(ctx, func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, nil
	})
}

// poll calls ready until it is, fails, or ctx ends.
func poll(ctx context.Context, ready func(context.Context) (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if done, err := ready(ctx); done || (err != nil && !errors.Is(err, context.Canceled)) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
