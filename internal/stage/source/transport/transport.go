package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/model/redact"
)

// Certificates are what TLS may need beyond the system's roots, in PEM. The zero value is nothing.
type Certificates struct {
	// Authority signs the server's certificate.
	Authority []byte
	// Client and Key belong together: a certificate that the remote may ask for.
	Client []byte
	Key    redact.Bytes
}

// Check tells what is wrong with certificates, and nil where they can be used.
func (c Certificates) Check() error {
	_, err := c.config(false)
	return err
}

func (c Certificates) config(withSystem bool) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.Authority) > 0 {
		config.RootCAs = x509.NewCertPool()
		if withSystem {
			if roots, err := x509.SystemCertPool(); err == nil {
				config.RootCAs = roots
			}
		}
		if !config.RootCAs.AppendCertsFromPEM(c.Authority) {
			return nil, errors.New("reading the certificate authority: no PEM certificate in it")
		}
	}
	if len(c.Client) == 0 && len(c.Key) == 0 {
		return config, nil
	}
	if len(c.Client) == 0 || len(c.Key) == 0 {
		return nil, errors.New("reading the client certificate: certificate and key must come together")
	}
	pair, err := tls.X509KeyPair(c.Client, c.Key.Reveal())
	if err != nil {
		return nil, errors.New("reading the client certificate: certificate and key are not a PEM pair that belongs together")
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// Proxy is an HTTP or SOCKS5 proxy for one remote. The zero value is none.
type Proxy struct {
	URL      string
	Username redact.Text
	Password redact.Text
}

func (p Proxy) address() (*url.URL, error) {
	address, err := url.Parse(p.URL)
	if err != nil || address.Host == "" {
		return nil, errors.New("reading the proxy's address: it is not of the form scheme://host:port")
	}
	if p.Username != "" {
		address.User = url.UserPassword(p.Username.Reveal(), p.Password.Reveal())
	}
	return address, nil
}

// Options describe the way to one remote.
type Options struct {
	// Host is the remote's own host, with the port where the address names one. Only it sees the client's
	// certificate.
	Host         string
	Certificates Certificates
	// SystemRoots adds the authority to the system's roots; otherwise it takes their place.
	SystemRoots bool
	// Plain allows http; otherwise every request has to be https, those that a redirect leads to as well.
	Plain bool
	// Unverified accepts any certificate of a server. It is for remotes that the spec calls insecure.
	Unverified bool
	Proxy      Proxy
}

// Transport sends requests. It implements http.RoundTripper.
type Transport struct {
	host          string
	plain         bool
	home, foreign *http.Transport
}

// environment chooses a proxy for a request that has none of its own.
type environment func(*http.Request) (*url.URL, error)

func newTransport(options Options, proxy environment) (*Transport, error) {
	config, err := options.Certificates.config(options.SystemRoots)
	if err != nil {
		return nil, err
	}
	config.InsecureSkipVerify = options.Unverified //nolint:gosec // the spec says so, as Flux understands insecure
	if options.Proxy.URL != "" {
		address, err := options.Proxy.address()
		if err != nil {
			return nil, err
		}
		proxy = http.ProxyURL(address)
	}
	stranger := config.Clone()
	stranger.Certificates = nil
	return &Transport{
		host: strings.ToLower(options.Host), plain: options.Plain,
		home: carrier(config, proxy), foreign: carrier(stranger, proxy),
	}, nil
}

func carrier(config *tls.Config, proxy environment) *http.Transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		Proxy:                  proxy,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    30 * time.Second,
		ResponseHeaderTimeout:  time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		// A connection whose other end vanished would else swallow every request of the next minutes.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !t.plain {
		return nil, fmt.Errorf("sending a request to %s: only https is allowed here", r.URL.Host)
	}
	if strings.EqualFold(r.URL.Host, t.host) {
		return t.home.RoundTrip(r)
	}
	return t.foreign.RoundTrip(r)
}

// CloseIdleConnections closes what is kept open and not in use.
func (t *Transport) CloseIdleConnections() {
	t.home.CloseIdleConnections()
	t.foreign.CloseIdleConnections()
}

// Within returns a context that ends with a cause that says how long it was.
func Within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, fmt.Errorf("timed out after %s", timeout))
}
