package localcluster

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// ContextName is the name of the context, the cluster and the user in the kubeconfig.
const ContextName = "holdfast"

// kubeconfigFor returns a kubeconfig for the API server at server, with the client certificate name.
func kubeconfigFor(f folder, server, name string) (*api.Config, error) {
	authority, err := os.ReadFile(f.pem("ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("reading the authority's certificate: %w", err)
	}
	client, err := readPair(f, name)
	if err != nil {
		return nil, fmt.Errorf("reading the client certificate %s: %w", name, err)
	}
	config := api.NewConfig()
	config.Clusters[ContextName] = &api.Cluster{Server: server, CertificateAuthorityData: authority}
	config.AuthInfos[ContextName] = &api.AuthInfo{ClientCertificateData: client.certPEM, ClientKeyData: client.keyPEM}
	config.Contexts[ContextName] = &api.Context{Cluster: ContextName, AuthInfo: ContextName}
	config.CurrentContext = ContextName
	return config, nil
}

// writeKubeconfig writes the kubeconfig of the client certificate name to path and returns its text.
func writeKubeconfig(f folder, server, name, path string) ([]byte, error) {
	config, err := kubeconfigFor(f, server, name)
	if err != nil {
		return nil, err
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encoding the kubeconfig: %w", err)
	}
	if err := replaceFile(path, data); err != nil {
		return nil, fmt.Errorf("writing the kubeconfig %s: %w", path, err)
	}
	return data, nil
}

// clientConfig returns a client configuration without a client-side limit on requests: the server is
// ours alone, and its own fairness suffices.
func clientConfig(kubeconfig, agent string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1
	return rest.AddUserAgent(config, agent), nil
}

// merge remembers what mergeKubeconfig did to a file.
type merge struct {
	path   string
	server string
	before string // the current context before
}

// mergeKubeconfig adds context holdfast to the file at path and makes it the current one. Everything
// else in the file stays. A file that is missing is made.
func mergeKubeconfig(path string, own []byte) (*merge, error) {
	config, err := clientcmd.Load(own)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	into, err := loadKubeconfig(path)
	if err != nil {
		return nil, err
	}
	m := &merge{path: path, server: config.Clusters[ContextName].Server, before: into.CurrentContext}
	into.Clusters[ContextName] = config.Clusters[ContextName]
	into.AuthInfos[ContextName] = config.AuthInfos[ContextName]
	into.Contexts[ContextName] = config.Contexts[ContextName]
	into.CurrentContext = ContextName
	return m, storeKubeconfig(path, into)
}

// undo takes context holdfast out of the file again, unless it has become another cluster's since.
// The context that was current before is so again. A file that holds nothing else goes.
func (m *merge) undo() {
	from, err := loadKubeconfig(m.path)
	if err != nil {
		return
	}
	if cluster := from.Clusters[ContextName]; cluster == nil || cluster.Server != m.server {
		return
	}
	delete(from.Clusters, ContextName)
	delete(from.AuthInfos, ContextName)
	delete(from.Contexts, ContextName)
	if from.CurrentContext == ContextName {
		from.CurrentContext = ""
		if _, exists := from.Contexts[m.before]; exists {
			from.CurrentContext = m.before
		}
	}
	if len(from.Clusters) == 0 && len(from.AuthInfos) == 0 && len(from.Contexts) == 0 {
		_ = os.Remove(m.path)
		return
	}
	_ = storeKubeconfig(m.path, from)
}

func loadKubeconfig(path string) (*api.Config, error) {
	config, err := clientcmd.LoadFromFile(path)
	if os.IsNotExist(err) {
		return api.NewConfig(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig %s: %w", path, err)
	}
	return config, nil
}

func storeKubeconfig(path string, config *api.Config) error {
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encoding the kubeconfig %s: %w", path, err)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // replace the file that the link leads to, not the link
	}
	if err := replaceFile(path, data); err != nil {
		return fmt.Errorf("writing the kubeconfig %s: %w", path, err)
	}
	return nil
}
