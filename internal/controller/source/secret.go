package source

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// Secret reads one Secret. It may be made or mended any time, so its absence is worth a retry.
func Secret(ctx context.Context, reader client.Reader, namespace, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	if err := reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret); err != nil {
		return nil, fmt.Errorf("reading secret %s/%s: %w", namespace, name, err)
	}
	return &secret, nil
}

// Proxy reads the proxy that a Secret of spec.proxySecretRef describes.
func Proxy(ctx context.Context, reader client.Reader, namespace, name string) (transport.Proxy, error) {
	secret, err := Secret(ctx, reader, namespace, name)
	if err != nil {
		return transport.Proxy{}, fmt.Errorf("configuring proxy: %w", err)
	}
	proxy, err := proxyOf(secret.Data)
	if err != nil {
		return transport.Proxy{}, fmt.Errorf("configuring proxy: secret %s/%s: %w", namespace, name, err)
	}
	return proxy, nil
}

func proxyOf(data map[string][]byte) (transport.Proxy, error) {
	address := string(data["address"])
	if address == "" {
		return transport.Proxy{}, errors.New("key address is missing")
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		return transport.Proxy{}, errors.New("key address is not an address of the form scheme://host:port")
	}
	if !slices.Contains([]string{"http", "https", "socks5"}, parsed.Scheme) {
		return transport.Proxy{}, fmt.Errorf("key address has the scheme %q, which is none of http, https, socks5", parsed.Scheme)
	}
	password, _ := parsed.User.Password()
	proxy := transport.Proxy{Username: redact.Text(parsed.User.Username()), Password: redact.Text(password)}
	if username, found := data["username"]; found {
		proxy.Username, proxy.Password = redact.Text(username), redact.Text(data["password"])
	}
	parsed.User = nil
	proxy.URL = parsed.String()
	return proxy, nil
}

// Certificates reads what a Secret of spec.certSecretRef holds: an authority, a client's certificate with its
// key, or both.
func Certificates(ctx context.Context, reader client.Reader, namespace, name string) (transport.Certificates, error) {
	secret, err := Secret(ctx, reader, namespace, name)
	if err != nil {
		return transport.Certificates{}, fmt.Errorf("configuring certificates: %w", err)
	}
	found := CertificatesOf(secret.Data)
	if err := found.Check(); err != nil {
		return transport.Certificates{}, fmt.Errorf("configuring certificates: secret %s/%s: %w", namespace, name, err)
	}
	return found, nil
}

// CertificatesOf returns the certificates among the keys of a Secret.
func CertificatesOf(data map[string][]byte) transport.Certificates {
	return transport.Certificates{
		Authority: First(data, "ca.crt", "caFile"),
		Client:    First(data, "tls.crt", "certFile"),
		Key:       First(data, "tls.key", "keyFile"),
	}
}

// First returns the first of several keys that a Secret holds.
func First(data map[string][]byte, keys ...string) []byte {
	for _, key := range keys {
		if len(data[key]) > 0 {
			return data[key]
		}
	}
	return nil
}
