package kube

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// DefaultInFlight is how many writes and dry-runs are under way at once against one cluster. The
// server gives no more throughput beyond it on small machines, and its fairness queues stay short.
const DefaultInFlight = 16

// Options steer a connection. The zero value is right for most.
type Options struct {
	// InFlight bounds concurrent requests of Get, Apply, Patch and Delete; 0 means DefaultInFlight.
	InFlight int
	// UserAgent names us to the server; empty means "holdfast".
	UserAgent string
	// Observe is told of each request; nil is nobody.
	Observe func(Request)
}

// Cluster is a connection to one cluster under one identity. It is safe for concurrent use.
type Cluster struct {
	name    string
	config  *rest.Config
	rest    rest.Interface
	dynamic dynamic.Interface
	meta    metadata.Interface
	mapper  *mapper       // shared by all identities of the cluster
	slots   chan struct{} // shared by all identities of the cluster
	as      Identity
}

// Connect makes a connection from a configuration, which it copies. No request is sent yet. The
// name appears in messages; it is empty for the cluster that the program itself runs in.
func Connect(name string, config *rest.Config, options Options) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // the server's priority and fairness does this better, and knows the others
	config.RateLimiter = nil
	config.UserAgent = options.UserAgent
	if config.UserAgent == "" {
		config.UserAgent = "holdfast"
	}
	if options.Observe != nil {
		config.Wrap(Meter(options.Observe))
	}
	inFlight := options.InFlight
	if inFlight == 0 {
		inFlight = DefaultInFlight
	}
	cluster := &Cluster{name: name, slots: make(chan struct{}, inFlight)}
	if err := cluster.dial(config); err != nil {
		return nil, fmt.Errorf("connecting to cluster %s: %w", config.Host, err)
	}
	finder, err := discovery.NewDiscoveryClientForConfigAndClient(config, httpClientOf(cluster.rest))
	if err != nil {
		return nil, fmt.Errorf("connecting to cluster %s: %w", config.Host, err)
	}
	cluster.mapper = newMapper(finder)
	return cluster, nil
}

// dial makes the clients of a configuration.
func (c *Cluster) dial(config *rest.Config) error {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	plain := rest.CopyConfig(config)
	plain.NegotiatedSerializer = serializer.NewCodecFactory(scheme.Scheme).WithoutConversion()
	plain.ContentType, plain.AcceptContentTypes = "application/json", "application/json"
	if c.rest, err = rest.UnversionedRESTClientForConfigAndClient(plain, client); err != nil {
		return err
	}
	if c.dynamic, err = dynamic.NewForConfigAndClient(config, client); err != nil {
		return err
	}
	if c.meta, err = metadata.NewForConfigAndClient(config, client); err != nil {
		return err
	}
	c.config = config
	return nil
}

func httpClientOf(client rest.Interface) *http.Client {
	if plain, ok := client.(*rest.RESTClient); ok {
		return plain.Client
	}
	return http.DefaultClient
}

// Name is what the cluster was connected as.
func (c *Cluster) Name() string { return c.name }

// Config returns the configuration, for clients of other libraries. The caller must not modify it.
func (c *Cluster) Config() *rest.Config { return c.config }

// Dynamic returns a client for watches and lists, under this connection's identity. It is not
// bound by the limit of requests in flight.
func (c *Cluster) Dynamic() dynamic.Interface { return c.dynamic }

// Metadata returns a client like Dynamic's, for watches that need no more than objects' metadata: the
// content of Secrets, for example, then never leaves the server.
func (c *Cluster) Metadata() metadata.Interface { return c.meta }

// Identity is who requests are made as. The zero value is the connection's own identity.
type Identity struct {
	User   string
	Groups string // kept as one string, so that identities compare; a single group is all we need
}

// ServiceAccount returns the identity of a service account.
func ServiceAccount(namespace, name string) Identity {
	return Identity{User: "system:serviceaccount:" + namespace + ":" + name}
}

// Impersonates tells whether requests are made as somebody else than the connection's own identity.
func (c *Cluster) Impersonates() bool { return c.as.User != "" }

// As returns a connection to the same cluster that impersonates somebody. It refuses an empty user:
// falling back to our own rights is how tenants became administrators elsewhere (CVE-2026-23990).
func (c *Cluster) As(identity Identity) (*Cluster, error) {
	if identity.User == "" {
		return nil, fmt.Errorf("impersonating in cluster %s: the user must not be empty", c.config.Host)
	}
	config := rest.CopyConfig(c.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: identity.User}
	if identity.Groups != "" {
		config.Impersonate.Groups = []string{identity.Groups}
	}
	other := &Cluster{name: c.name, mapper: c.mapper, slots: c.slots, as: identity}
	if err := other.dial(config); err != nil {
		return nil, fmt.Errorf("impersonating %s: %w", identity.User, err)
	}
	return other, nil
}

// enter waits for a free request slot; the returned function gives it back.
func (c *Cluster) enter(ctx context.Context) (leave func(), err error) {
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
