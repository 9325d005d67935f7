package kube

import (
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// KubeconfigPolicy says what a kubeconfig from a Secret may ask for. The zero value is the safe one.
type KubeconfigPolicy struct {
	// InsecureTLS allows insecure-skip-tls-verify.
	InsecureTLS bool
}

// FromKubeconfig reads the current context of a kubeconfig that came from inside a cluster. Such a
// file is a tenant's input: it is rebuilt from a list of allowed fields. Commands (exec), auth
// plugins and references to files on our disk are refused (CVE-2022-24817).
func FromKubeconfig(raw []byte, policy KubeconfigPolicy) (*rest.Config, error) {
	file, err := clientcmd.Load(raw)
	if err != nil {
		return nil, errors.New("reading kubeconfig: it is not a valid kubeconfig file")
	}
	context, found := file.Contexts[file.CurrentContext]
	if !found {
		return nil, fmt.Errorf("reading kubeconfig: its current-context %q is not in it", file.CurrentContext)
	}
	cluster, user := file.Clusters[context.Cluster], file.AuthInfos[context.AuthInfo]
	if cluster == nil {
		return nil, fmt.Errorf("reading kubeconfig: its cluster %q is not in it", context.Cluster)
	}
	if user == nil {
		user = &api.AuthInfo{}
	}
	if err := refuse(cluster, user, policy); err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:        cluster.Server,
		BearerToken: user.Token,
		Username:    user.Username,
		Password:    user.Password,
		TLSClientConfig: rest.TLSClientConfig{
			Insecure:   cluster.InsecureSkipTLSVerify,
			ServerName: cluster.TLSServerName,
			CAData:     cluster.CertificateAuthorityData,
			CertData:   user.ClientCertificateData,
			KeyData:    user.ClientKeyData,
		},
	}, nil
}

func refuse(cluster *api.Cluster, user *api.AuthInfo, policy KubeconfigPolicy) error {
	switch {
	case user.Exec != nil:
		return errors.New("reading kubeconfig: exec plugins are not allowed; use a token or a client certificate")
	case user.AuthProvider != nil:
		return errors.New("reading kubeconfig: auth-provider is not allowed; use a token or a client certificate")
	case cluster.CertificateAuthority != "", user.ClientCertificate != "", user.ClientKey != "", user.TokenFile != "":
		return errors.New("reading kubeconfig: references to files are not allowed; put the data inline")
	case cluster.InsecureSkipTLSVerify && !policy.InsecureTLS:
		return errors.New("reading kubeconfig: insecure-skip-tls-verify is not allowed; give certificate-authority-data")
	case user.Impersonate != "" || len(user.ImpersonateGroups) > 0 || len(user.ImpersonateUserExtra) > 0:
		return errors.New("reading kubeconfig: impersonation is not allowed; use serviceAccountName of the unit")
	default:
		return nil
	}
}
