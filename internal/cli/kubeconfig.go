package cli

import (
	"errors"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"holdfast.dev/holdfast/internal/localcluster"
)

// loader finds the kubeconfig: the flag, KUBECONFIG, the home folder, the pod that we run in, and
// last the cluster that Holdfast itself runs on this machine.
func (t *target) loader() (clientcmd.ClientConfig, error) {
	overrides := &clientcmd.ConfigOverrides{CurrentContext: t.context}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.WarnIfAllMissing = false
	rules.ExplicitPath = t.kubeconfig
	config, err := rules.Load()
	if err != nil {
		return nil, hinted(err, "--kubeconfig and KUBECONFIG must name files that kubectl can read")
	}
	if t.kubeconfig != "" || !clientcmdapi.IsConfigEmpty(config) {
		return clientcmd.NewNonInteractiveClientConfig(*config, t.context, overrides, rules), nil
	}
	if _, err := rest.InClusterConfig(); err == nil {
		return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides), nil
	}
	own, err := localKubeconfig()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(own); err != nil {
		return nil, hinted(errors.New("no cluster to talk to: there is no kubeconfig"),
			"start a cluster with `holdfast up`, or name a kubeconfig with --kubeconfig")
	}
	rules.ExplicitPath = own
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides), nil
}

// localKubeconfig is where the cluster that Holdfast runs on this machine keeps its kubeconfig.
func localKubeconfig() (string, error) {
	dir, err := localcluster.DefaultDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "kubeconfig"), nil
}
