package cli

import (
	"cmp"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/cli/fleet"
)

// target is the cluster and the namespace that a command works on.
type target struct {
	kubeconfig string
	context    string
	namespace  string
	now        func() time.Time
}

// defaultNamespace is where Flux keeps its own resources; its environment variable counts here, too.
func defaultNamespace() string {
	return cmp.Or(os.Getenv("FLUX_SYSTEM_NAMESPACE"), "flux-system")
}

// register adds the flags that choose a cluster to a command and all below it.
func (t *target) register(command *cobra.Command) {
	flags := command.PersistentFlags()
	flags.StringVar(&t.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, ~/.kube/config, a cluster that holdfast runs here)")
	flags.StringVar(&t.context, "context", "", "context in the kubeconfig")
	flags.StringVarP(&t.namespace, "namespace", "n", defaultNamespace(), "namespace of the units and sources")
	complete(command, "context", t.completeContexts)
	complete(command, "namespace", t.completeNamespaces)
}

// config returns how to reach the cluster.
func (t *target) config() (*rest.Config, error) {
	loader, err := t.loader()
	if err != nil {
		return nil, err
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, hinted(err, "`kubectl config get-contexts` lists the contexts; --kubeconfig chooses another file")
	}
	config.UserAgent = "holdfast/" + clientVersion()
	return config, nil
}

// connect returns the cluster.
func (t *target) connect() (*fleet.Cluster, error) {
	config, err := t.config()
	if err != nil {
		return nil, err
	}
	return fleet.Connect(config)
}
