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
	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/model/fault"
)

// workload is how a unit reaches a cluster that trusts the service accounts of ours, itself or through a
// provider.
type workload struct {
	Address string // canonical: https://host:port; empty where the provider is to be asked
	CA      string // PEM; empty for the system's roots, or to ask the provider
	Account kube.Account
	// Provider is aws, azure or gcp, and Cluster what the cluster is called there; both are empty where the
	// cluster takes tokens of accounts themselves.
	Provider, Cluster string
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
	found := workload{CA: data[meta.KubeConfigKeyCACert], Account: kube.Account{Name: data[meta.KubeConfigKeyServiceAccountName]}}
	if found.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(found.CA)) {
		return workload{}, errors.New("key ca.crt holds no certificate in PEM")
	}
	if found.Account.Name == "" {
		found.Account.Name = defaultAccount
	}
	if strings.ContainsAny(found.Account.Name, "/%?#") {
		return workload{}, errors.New("key serviceAccountName is not the name of a ServiceAccount")
	}
	switch provider := data[meta.KubeConfigKeyProvider]; provider {
	case "generic":
		return found.generic(data)
	case identity.AWS, identity.Azure, identity.Google:
		return found.cloud(provider, data)
	default:
		return workload{}, fmt.Errorf("provider %q is none of generic, aws, azure, gcp", provider)
	}
}

// generic reads the keys of a cluster that takes tokens of accounts.
func (w workload) generic(data map[string]string) (workload, error) {
	given := data[meta.KubeConfigKeyAddress]
	address, err := parseAddress(given)
	if err != nil {
		return workload{}, err
	}
	if w.Account.Name == "" {
		return workload{}, errors.New("key serviceAccountName is missing: a token of the controller's own account is never sent elsewhere; name an account in the unit's namespace")
	}
	w.Address = address
	w.Account.Audiences = audiencesIn(data[meta.KubeConfigKeyAudiences])
	if len(w.Account.Audiences) == 0 {
		w.Account.Audiences = []string{given}
	}
	return w, nil
}

// cloud reads the keys of a cluster at a provider, which tells what is left out.
func (w workload) cloud(provider string, data map[string]string) (workload, error) {
	w.Provider, w.Cluster = provider, data[meta.KubeConfigKeyCluster]
	given := data[meta.KubeConfigKeyAddress]
	switch {
	case data[meta.KubeConfigKeyAudiences] != "":
		return workload{}, fmt.Errorf("key audiences has a meaning for provider generic alone, not for %s", provider)
	case w.Cluster == "" && (provider == identity.AWS || given == "" || w.CA == ""):
		return workload{}, fmt.Errorf("key cluster is missing: it is what %s calls the cluster", provider)
	case given == "":
		return w, nil
	}
	var err error
	w.Address, err = parseAddress(given)
	return w, err
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
func (w workload) config(ctx context.Context, home *kube.Cluster, identities *identity.Source) (*rest.Config, error) {
	if w.Provider != "" {
		holder := identities.Of(identity.Account{Namespace: w.Account.Namespace, Name: w.Account.Name})
		return holder.Cluster(ctx, identity.Remote{Provider: w.Provider, Resource: w.Cluster, Address: w.Address, CA: w.CA})
	}
	tokens := home.NewTokens(w.Account)
	if _, err := tokens.Token(ctx); err != nil {
		return nil, err
	}
	config := &rest.Config{Host: w.Address, TLSClientConfig: rest.TLSClientConfig{CAData: []byte(w.CA)}}
	config.Wrap(tokens.Wrap)
	return config, nil
}
