package kube_test

import (
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/kube"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: there
contexts: [{name: there, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://example.invalid"CLUSTER}}]
users: [{name: u, user: {USER}}]
`

func TestFromKubeconfig(t *testing.T) {
	cases := map[string]struct {
		why, cluster, user, wantErr string
		policy                      kube.KubeconfigPolicy
	}{
		"Token":        {why: "inline credentials are what is allowed", user: "token: abc"},
		"Exec":         {why: "it would run a command of a tenant in our process", user: `exec: {apiVersion: client.authentication.k8s.io/v1, command: sh}`, wantErr: "exec plugins are not allowed"},
		"AuthProvider": {why: "it would run code that we did not choose", user: "auth-provider: {name: gcp}", wantErr: "auth-provider is not allowed"},
		"TokenFile":    {why: "it would read our own service account's token", user: "tokenFile: /var/run/secrets/token", wantErr: "references to files"},
		"CertFile":     {why: "it would read files of ours", user: "client-certificate: /etc/passwd", wantErr: "references to files"},
		"CAFile":       {why: "it would read files of ours", cluster: ", certificate-authority: /etc/passwd", wantErr: "references to files"},
		"Insecure":     {why: "credentials would go to anybody who answers", cluster: ", insecure-skip-tls-verify: true", wantErr: "insecure-skip-tls-verify is not allowed"},
		"Allowed":      {why: "an operator may allow it", cluster: ", insecure-skip-tls-verify: true", policy: kube.KubeconfigPolicy{InsecureTLS: true}},
		"Impersonate":  {why: "the identity is the unit's to name, where it is checked", user: "as: admin", wantErr: "impersonation is not allowed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			raw := strings.NewReplacer("CLUSTER", tc.cluster, "USER", tc.user).Replace(kubeconfig)
			_, err := kube.FromKubeconfig([]byte(raw), tc.policy)
			switch {
			case tc.wantErr == "" && err != nil:
				t.Errorf("%s: %v", tc.why, err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Errorf("%s: error is %v, want one that says %q", tc.why, err, tc.wantErr)
			}
		})
	}
}

func FuzzFromKubeconfig(f *testing.F) {
	f.Add([]byte(kubeconfig))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		config, err := kube.FromKubeconfig(raw, kube.KubeconfigPolicy{})
		if err != nil {
			return
		}
		if config.ExecProvider != nil || config.AuthProvider != nil || config.BearerTokenFile != "" || config.CAFile != "" ||
			config.CertFile != "" || config.KeyFile != "" || config.Insecure || config.Impersonate.UserName != "" {
			t.Errorf("a kubeconfig got more than inline credentials into the configuration: %q", raw)
		}
	})
}
