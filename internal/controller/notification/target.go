package notification

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	v1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/record/alert/send"
)

const (
	// maxAddress is the longest address, as the schema has it.
	maxAddress = 2048
	// lookAgain is when a missing Secret is worth another look.
	lookAgain = time.Minute
)

// Open resolves a Provider: its settings, and the Secrets that it names in its own namespace.
func Open(ctx context.Context, reader, secrets client.Reader, key client.ObjectKey) (send.Target, error) {
	var p v1beta3.Provider
	if err := reader.Get(ctx, key, &p); err != nil {
		err = fmt.Errorf("reading Provider %s: %w", key, err)
		if apierrors.IsNotFound(err) {
			return send.Target{}, fault.Stall("", err)
		}
		return send.Target{}, err
	}
	o := opening{ctx: ctx, secrets: secrets, provider: &p}
	target := send.Target{
		Type: p.Spec.Type, UID: string(p.UID), Address: redact.Text(p.Spec.Address), Proxy: redact.Text(p.Spec.Proxy),
		Channel: p.Spec.Channel, Username: p.Spec.Username, Timeout: p.GetTimeout(),
	}
	for _, step := range []func(*send.Target) error{o.identity, o.credentials, o.proxy, o.certificates} {
		if err := step(&target); err != nil {
			return send.Target{}, &fault.Error{After: lookAgain, Err: fmt.Errorf("opening Provider %s: %w", key, err)}
		}
	}
	return target, nil
}

// opening resolves one Provider.
type opening struct {
	ctx      context.Context //nolint:containedctx // it lives as long as one call of Open
	secrets  client.Reader
	provider *v1beta3.Provider
}

// identity refuses what would be another identity than the Provider asks for.
func (o opening) identity(*send.Target) error {
	if o.provider.Spec.ServiceAccountName != "" {
		return errors.New("spec.serviceAccountName is not served by Holdfast yet: give a token in spec.secretRef instead")
	}
	return nil
}

// credentials reads what spec.secretRef overrides and adds.
func (o opening) credentials(target *send.Target) error {
	secret, err := o.secret(o.provider.Spec.SecretRef)
	if secret == nil {
		return err
	}
	text := func(key string) string { return strings.TrimSpace(string(secret.Data[key])) }
	if address := text("address"); address != "" {
		if len(address) > maxAddress {
			return fmt.Errorf("the address in Secret %s is longer than %d bytes", secret.Name, maxAddress)
		}
		target.Address, target.AddressIsSecret = redact.Text(address), true
	}
	if username := text("username"); username != "" {
		target.Username = username
	}
	if proxy := text("proxy"); proxy != "" {
		target.Proxy = redact.Text(proxy)
	}
	target.Token, target.Password = redact.Text(text("token")), redact.Text(text("password"))
	if target.Token == "" && text("githubAppID") != "" {
		return fmt.Errorf("Secret %s holds a GitHub App, which is not served by Holdfast yet: give a token instead", secret.Name) //nolint:revive,staticcheck // Secret is a kind
	}
	if content, found := secret.Data["headers"]; found {
		headers := map[string]string{}
		if yaml.Unmarshal(content, &headers) != nil { // its error quotes the content
			return fmt.Errorf("the headers in Secret %s are not a YAML map of texts", secret.Name)
		}
		target.Headers = map[string]redact.Text{}
		for name, value := range headers {
			target.Headers[name] = redact.Text(value)
		}
	}
	if len(secret.Data["ca.crt"]) > 0 && o.provider.Spec.CertSecretRef == nil && send.SetsStatus(target.Type) {
		target.TLS, err = certificates(secret)
	}
	return err
}

// proxy reads spec.proxySecretRef, which comes before all other ways to name a proxy.
func (o opening) proxy(target *send.Target) error {
	secret, err := o.secret(o.provider.Spec.ProxySecretRef)
	if secret == nil {
		return err
	}
	address, err := url.Parse(strings.TrimSpace(string(secret.Data["address"])))
	if err != nil || address.Host == "" {
		return fmt.Errorf("Secret %s has no proxy URL under the key address", secret.Name) //nolint:revive,staticcheck // Secret is a kind
	}
	if username := string(secret.Data["username"]); username != "" {
		address.User = url.UserPassword(username, string(secret.Data["password"]))
	}
	target.Proxy = redact.Text(address.String())
	return nil
}

func (o opening) certificates(target *send.Target) error {
	secret, err := o.secret(o.provider.Spec.CertSecretRef)
	if secret == nil {
		return err
	}
	target.TLS, err = certificates(secret)
	return err
}

// secret reads a Secret of the Provider's namespace. Without a reference it is nil.
func (o opening) secret(ref *meta.LocalObjectReference) (*corev1.Secret, error) {
	if ref == nil || ref.Name == "" {
		return nil, nil //nolint:nilnil // nothing is asked for, and nothing is wrong
	}
	secret := &corev1.Secret{}
	if err := o.secrets.Get(o.ctx, client.ObjectKey{Namespace: o.provider.Namespace, Name: ref.Name}, secret); err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", ref.Name, err)
	}
	return secret, nil
}

// certificates makes TLS settings of a Secret, with Flux's older keys as well.
func certificates(secret *corev1.Secret) (*tls.Config, error) {
	either := func(key, old string) []byte {
		if value := secret.Data[key]; len(value) > 0 {
			return value
		}
		return secret.Data[old]
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	ca, cert, key := either("ca.crt", "caFile"), either("tls.crt", "certFile"), either("tls.key", "keyFile")
	if len(ca) == 0 && len(cert) == 0 {
		return nil, fmt.Errorf("Secret %s has neither ca.crt nor tls.crt and tls.key", secret.Name) //nolint:revive,staticcheck // Secret is a kind
	}
	if len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("Secret %s has no certificate under ca.crt", secret.Name) //nolint:revive,staticcheck // Secret is a kind
		}
	}
	if len(cert) > 0 {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("Secret %s: tls.crt and tls.key are no pair", secret.Name) //nolint:revive,staticcheck // Secret is a kind
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
