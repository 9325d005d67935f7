package localcluster

import (
	"context"
	"fmt"
	"net"
	"strings"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// apiServer is a kube-apiserver that is configured and ready to run.
type apiServer struct {
	options options.CompletedOptions
}

// newAPIServer fills the options of the API server through its own flags, as its command would.
func newAPIServer(ctx context.Context, f folder, etcd string, listener net.Listener) (*apiServer, error) {
	registry, err := versionRegistry()
	if err != nil {
		return nil, err
	}
	run := options.NewServerRunOptions()
	run.GenericServerRunOptions.ComponentGlobalsRegistry = registry
	if err := setFlags(run.Flags(), apiServerFlags(f, etcd)); err != nil {
		return nil, fmt.Errorf("configuring the API server: %w", err)
	}
	run.SecureServing.Listener = listener
	run.SecureServing.BindAddress = net.IPv4(127, 0, 0, 1)
	run.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port
	completed, err := run.Complete(ctx)
	if err != nil {
		return nil, fmt.Errorf("configuring the API server: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return nil, fmt.Errorf("configuring the API server: %w", utilerrors.NewAggregate(errs))
	}
	return &apiServer{options: completed}, nil
}

// run serves until ctx ends.
func (s *apiServer) run(ctx context.Context) error {
	return app.Run(ctx, s.options)
}

func apiServerFlags(f folder, etcd string) map[string]string {
	return map[string]string{
		"etcd-servers":                            etcd,
		"etcd-compaction-interval":                "5m",
		"etcd-count-metric-poll-period":           "0", // counts all keys each minute for a metric that nobody reads
		"etcd-db-metric-poll-interval":            "0",
		"advertise-address":                       "192.0.2.1", // required, must not be loopback, and is given to nobody
		"endpoint-reconciler-type":                "none",
		"service-cluster-ip-range":                serviceRange,
		"authorization-mode":                      "Node,RBAC",
		"allow-privileged":                        "true",
		"client-ca-file":                          f.pem("ca.crt"),
		"tls-cert-file":                           f.pem("apiserver.crt"),
		"tls-private-key-file":                    f.pem("apiserver.key"),
		"service-account-issuer":                  "https://kubernetes.default.svc.cluster.local",
		"service-account-key-file":                f.pem("service-account.key"),
		"service-account-signing-key-file":        f.pem("service-account.key"),
		"requestheader-client-ca-file":            f.pem("front-proxy-ca.crt"),
		"requestheader-allowed-names":             "front-proxy-client",
		"requestheader-username-headers":          "X-Remote-User",
		"requestheader-group-headers":             "X-Remote-Group",
		"requestheader-extra-headers-prefix":      "X-Remote-Extra-",
		"proxy-client-cert-file":                  f.pem("front-proxy-client.crt"),
		"proxy-client-key-file":                   f.pem("front-proxy-client.key"),
		"profiling":                               "false",
		"shutdown-watch-termination-grace-period": "1s", // else a client's open watch holds the stop up for a minute
	}
}

// setFlags sets flags by name, and fails for a name that the component does not have.
func setFlags(sets cliflag.NamedFlagSets, values map[string]string) error {
	for name, value := range values {
		if err := setFlag(sets, name, value); err != nil {
			return err
		}
	}
	return nil
}

func setFlag(sets cliflag.NamedFlagSets, name, value string) error {
	for _, set := range sets.FlagSets {
		if set.Lookup(name) == nil {
			continue
		}
		if err := set.Set(name, value); err != nil {
			return fmt.Errorf("setting --%s=%s: %w", name, value, err)
		}
		return nil
	}
	return fmt.Errorf("setting --%s: no such flag among %s", name, strings.Join(sets.Order, ", "))
}
