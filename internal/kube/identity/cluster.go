package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/fluxcd/pkg/auth"
	"k8s.io/client-go/rest"
)

// Remote is a cluster at a provider.
type Remote struct {
	Provider string
	// Resource is the provider's name of the cluster: an ARN of EKS, an id of AKS or GKE.
	Resource string
	// Address and CA (PEM) are asked for at the provider where they are empty.
	Address, CA string
}

// Cluster returns how to reach a cluster at a provider. The provider is asked at once, so that what is
// wrong is told as such; each request then brings a token that is valid.
func (h Holder) Cluster(ctx context.Context, remote Remote) (*rest.Config, error) {
	if h.account.Name == "" && remote.Address != "" {
		return nil, errors.New("a token of the controller's own identity is not sent to an address that others choose: leave the key address out, or name an account with the key serviceAccountName")
	}
	found, err := h.reach(ctx, remote)
	if err != nil {
		return nil, err
	}
	address, err := auth.ParseClusterAddress(found.Host)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the address of the cluster is none of the form https://host:port")
	case len(found.CAData) == 0:
		return nil, errors.New("the provider names no certificate of the cluster: set the key ca.crt")
	case !x509.NewCertPool().AppendCertsFromPEM(found.CAData):
		return nil, errors.New("the certificate of the cluster cannot be read")
	}
	config := &rest.Config{Host: address, TLSClientConfig: rest.TLSClientConfig{CAData: found.CAData}}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &bearer{holder: h, remote: remote, next: next} })
	return config, nil
}

func (h Holder) reach(ctx context.Context, remote Remote) (*auth.RESTConfig, error) {
	var provider auth.RESTConfigProvider
	switch remote.Provider {
	case AWS:
		provider = h.aws()
	case Azure:
		provider = h.azure()
	case Google:
		provider = h.google()
	default:
		return nil, fmt.Errorf("provider %q is none of aws, azure, gcp", remote.Provider)
	}
	options := []auth.Option{auth.WithClusterResource(remote.Resource), auth.WithClusterAddress(remote.Address), auth.WithCAData(remote.CA)}
	wants, err := provider.GetAccessTokenOptionsForCluster(options...)
	if err != nil {
		return nil, errors.New(oneLine(err))
	}
	what := "cluster " + strings.Join([]string{remote.Resource, remote.Address, remote.CA}, "\n")
	made, err := h.derive(ctx, what, provider, wants, func(ctx context.Context, tokens []auth.Token) (auth.Token, error) {
		return provider.NewRESTConfig(ctx, tokens, options...)
	})
	if err != nil {
		return nil, err
	}
	found, right := made.(*auth.RESTConfig)
	if !right {
		return nil, fmt.Errorf("%s gives no access for %s", remote.Provider, h.account)
	}
	return found, nil
}

// bearer puts a token into each request.
type bearer struct {
	holder Holder
	remote Remote
	next   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b *bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	found, err := b.holder.reach(request.Context(), b.remote)
	if err == nil && request.URL.Scheme != "https" { // a redirect may lead anywhere
		err = errors.New("sending a token: the address is not https")
	}
	if err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+found.BearerToken)
	return b.next.RoundTrip(request)
}
