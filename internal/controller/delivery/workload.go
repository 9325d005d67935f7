package delivery

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/model/fault"
)

// workload is how a unit reaches a cluster that trusts the service accounts of ours.
type workload struct {
	Address string // canonical: https://host:port
	CA      string // PEM; empty for the system's roots
	Account kube.Account
}

// workloadOf reads the ConfigMap that a unit names, and tells which account it stands for.
func (s *Sites) workloadOf(ctx context.Context, u Reach) (workload, error) {
	name := u.KubeConfig.ConfigMapRef.Name
	settings, err := s.follower.Get(ctx, ConfigRef(u.Owner.Namespace, "ConfigMap", name))
	if err != nil {
		return workload{}, fault.Because(meta.ReconciliationFailedReason, fmt.Errorf("reading kubeconfig ConfigMap '%s/%s': %w", u.Owner.Namespace, name, err))
	}
	if settings == nil {
		return workload{}, fault.Wait(meta.ReconciliationFailedReason, 0, fmt.Errorf("kubeconfig ConfigMap '%s/%s' not found", u.Owner.Namespace, name))
	}
	data, _, err := unstructured.NestedStringMap(settings.Object, "data")
	if err != nil {
		err = errors.New("its data is not a map of strings")
	}
	var found workload
	if err == nil {
		found, err = parseWorkload(data, s.DefaultKubeConfigServiceAccount)
	}
	if err != nil { // the ConfigMap is watched: the unit wakes when it is mended
		return workload{}, fault.Wait(meta.ReconciliationFailedReason, 0, fmt.Errorf("reading kubeconfig ConfigMap '%s/%s': %w", u.Owner.Namespace, name, err))
	}
	found.Account.Namespace = u.Owner.Namespace
	return found, nil
}

// parseWorkload reads the keys that Flux documents.
func parseWorkload(data map[string]string, defaultAccount string) (workload, error) {
	switch provider := data[meta.KubeConfigKeyProvider]; provider {
	case "generic":
	case "aws", "azure", "gcp":
		return workload{}, fmt.Errorf("provider %q is not served, only generic; use it with a token that the cluster's API server accepts, or name a Secret with kubeConfig.secretRef", provider)
	default:
		return workload{}, fmt.Errorf("provider %q is none of generic, aws, azure, gcp", provider)
	}
	given := data[meta.KubeConfigKeyAddress]
	address, err := parseAddress(given)
	if err != nil {
		return workload{}, err
	}
	found := workload{Address: address, CA: data[meta.KubeConfigKeyCACert]}
	if found.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(found.CA)) {
		return workload{}, errors.New("key ca.crt holds no certificate in PEM")
	}
	found.Account.Name = data[meta.KubeConfigKeyServiceAccountName]
	if found.Account.Name == "" {
		found.Account.Name = defaultAccount
	}
	switch {
	case found.Account.Name == "":
		return workload{}, errors.New("key serviceAccountName is missing: a token of the controller's own account is never sent elsewhere; name an account in the unit's namespace")
	case strings.ContainsAny(found.Account.Name, "/%?#"):
		return workload{}, errors.New("key serviceAccountName is not the name of a ServiceAccount")
	}
	found.Account.Audiences = audiencesIn(data[meta.KubeConfigKeyAudiences])
	if len(found.Account.Audiences) == 0 {
		found.Account.Audiences = []string{given}
	}
	return found, nil
}

// parseAddress returns the canonical form of an API server's address.
func parseAddress(text string) (string, error) {
	if text == "" {
		return "", errors.New("key address is missing")
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	address, err := url.Parse(text)
	switch {
	case err != nil || address.Hostname() == "" || address.User != nil:
		return "", errors.New("key address is not an address of the form https://host:port")
	case address.Scheme != "https":
		return "", fmt.Errorf("key address has the scheme %q, and a token is only sent by https", address.Scheme)
	}
	host := strings.ToLower(address.Host)
	if address.Port() == "" {
		host = strings.TrimSuffix(host, ":") + ":443"
	}
	return "https://" + host, nil
}

// audiencesIn reads audiences as a list in YAML, or one in a line.
func audiencesIn(text string) []string {
	var listed []string
	if yaml.Unmarshal([]byte(text), &listed) != nil {
		listed = strings.Split(text, "\n")
	}
	var audiences []string
	for _, one := range listed {
		if one = strings.TrimSpace(one); one != "" {
			audiences = append(audiences, one)
		}
	}
	return audiences
}

// digest tells connections apart: units with the same one share it, and its tokens.
func (w workload) digest() [sha256.Size]byte {
	raw, _ := json.Marshal(w) // strings alone: this cannot fail
	return sha256.Sum256(append([]byte("workload\n"), raw...))
}

// config returns how to connect. A token is requested at once, so that what is wrong with the account
// is told as such.
func (w workload) config(ctx context.Context, home *kube.Cluster) (*rest.Config, error) {
	tokens := home.NewTokens(w.Account)
	if _, err := tokens.Token(ctx); err != nil {
		return nil, err
	}
	config := &rest.Config{Host: w.Address, TLSClientConfig: rest.TLSClientConfig{CAData: []byte(w.CA)}}
	config.Wrap(tokens.Wrap)
	return config, nil
}
