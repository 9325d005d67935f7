package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	refsPath          = "/info/refs"
	packPath          = "/git-upload-pack"
	maxAdvertisement  = 256 << 20
	maxRedirects      = 5
	refsContentType   = "application/x-git-upload-pack-advertisement"
	resultContentType = "application/x-git-upload-pack-result"
)

// httpRemote reaches a remote over HTTP.
type httpRemote struct {
	endpoint Endpoint
	agent    string
	login    *login
	home     *http.Transport // for the endpoint's own origin
	foreign  *http.Transport // where redirects lead: without our client certificate
}

func newHTTP(endpoint Endpoint, access Access, options Options, proxy *url.URL) (*httpRemote, error) {
	h := &httpRemote{endpoint: endpoint, agent: options.UserAgent, login: &login{fixed: authorization(endpoint, access), tokens: access.Tokens}}
	roots, err := readRoots(access.CA)
	if err != nil {
		return nil, err
	}
	certificates, err := readCertificates(access)
	if err != nil {
		return nil, err
	}
	h.home = newTransport(options, proxy, &tls.Config{RootCAs: roots, Certificates: certificates, MinVersion: tls.VersionTLS12})
	h.foreign = newTransport(options, proxy, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	return h, nil
}

func newTransport(options Options, proxy *url.URL, config *tls.Config) *http.Transport {
	transport := &http.Transport{
		DialContext:            options.Dial,
		TLSClientConfig:        config,
		Proxy:                  options.Proxy,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// A connection whose other end vanished would else swallow every request of the next minutes.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
	if proxy != nil {
		transport.Proxy = http.ProxyURL(proxy)
	}
	return transport
}

func readRoots(ca []byte) (*x509.CertPool, error) {
	if len(ca) == 0 {
		return nil, nil //nolint:nilnil // nil means the system's roots
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("reading the certificate authority: no PEM certificate in it")
	}
	return roots, nil
}

func readCertificates(access Access) ([]tls.Certificate, error) {
	cert, key := access.ClientCert.Reveal(), access.ClientKey.Reveal()
	if len(cert) == 0 && len(key) == 0 {
		return nil, nil
	}
	if len(cert) == 0 || len(key) == 0 {
		return nil, errors.New("reading the client certificate: certificate and key must come together")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("reading the client certificate: %w", err)
	}
	return []tls.Certificate{pair}, nil
}

func authorization(endpoint Endpoint, access Access) func(*http.Request) {
	username, password := access.Username.Reveal(), access.Password.Reveal()
	if username == "" && password == "" {
		username, password = endpoint.User.Reveal(), endpoint.Password.Reveal()
	}
	switch {
	case access.BearerToken != "":
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+access.BearerToken.Reveal()) }
	case username != "" || password != "":
		return func(r *http.Request) { r.SetBasicAuth(username, password) }
	default:
		return func(*http.Request) {}
	}
}

// RoundTrip implements http.RoundTripper. Credentials are put in here, hop by hop and by the origin
// of the hop, so that no redirect can carry them away.
func (h *httpRemote) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	r.Header.Del("Referer")
	if !h.isHome(r.URL) {
		return h.foreign.RoundTrip(r)
	}
	return h.login.roundTrip(r, h.home)
}

// isHome tells whether credentials may go to a URL: its origin is that of the endpoint, or the same
// host's https where the endpoint is its http, each on its standard port.
func (h *httpRemote) isHome(u *url.URL) bool {
	other, err := fromURL(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/x"})
	if err != nil {
		return false
	}
	upgraded := h.endpoint.Scheme == "http" && h.endpoint.Port == "80" &&
		other.Scheme == "https" && other.Port == "443" && other.Host == h.endpoint.Host
	return upgraded || other.SameOrigin(h.endpoint)
}

func (h *httpRemote) closeIdle() {
	h.home.CloseIdleConnections()
	h.foreign.CloseIdleConnections()
}

// httpConversation knows where the references were found, which may be behind a redirect.
type httpConversation struct {
	remote *httpRemote
	base   *url.URL // of the repository, with the endpoint's query
	ad     *Advertisement
}

func (h *httpRemote) open(ctx context.Context) (conversation, error) {
	base := &url.URL{Scheme: h.endpoint.Scheme, Host: h.endpoint.authority(), Path: h.endpoint.Path}
	request, err := h.request(ctx, http.MethodGet, base.JoinPath(refsPath), nil)
	if err != nil {
		return nil, err
	}
	query := h.endpoint.Query.Reveal()
	if query != "" {
		query += "&"
	}
	request.URL.RawQuery = query + "service=git-upload-pack"
	client := &http.Client{Transport: h, CheckRedirect: checkRedirect}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if err := checkResponse(response, refsContentType); err != nil {
		return nil, err
	}
	found := *response.Request.URL
	found.Path = strings.TrimSuffix(found.Path, refsPath)
	found.RawPath, found.RawQuery, found.User = "", h.endpoint.Query.Reveal(), nil
	ad, err := readAdvertisement(&limited{in: response.Body, left: maxAdvertisement})
	if err != nil {
		return nil, err
	}
	return &httpConversation{remote: h, base: &found, ad: ad}, nil
}

func (h *httpRemote) request(ctx context.Context, method string, u *url.URL, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, errURL
	}
	request.Header.Set("User-Agent", h.agent)
	request.Header.Set("Accept", "*/*")
	return request, nil
}

// checkRedirect follows what Git follows: the first request only, and never from https to http.
func checkRedirect(next *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return errors.New("the server redirects too often")
	case via[len(via)-1].URL.Scheme == "https" && next.URL.Scheme != "https":
		return errors.New("the server redirects from https to http")
	case next.URL.Scheme != "http" && next.URL.Scheme != "https":
		return errors.New("the server redirects to something that is not http")
	case !strings.HasSuffix(next.URL.Path, refsPath):
		return errors.New("the server redirects to something that is not a Git repository")
	default:
		return nil
	}
}

func checkResponse(response *http.Response, contentType string) error {
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusForbidden:
		return ErrForbidden
	case http.StatusNotFound, http.StatusGone:
		return ErrNotFound
	default:
		return fmt.Errorf("the server answers %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	if got := response.Header.Get("Content-Type"); got != contentType {
		return fmt.Errorf("%w: it is %q", errGarbage, printable(got))
	}
	return nil
}

func (c *httpConversation) advertisement() *Advertisement { return c.ad }

func (c *httpConversation) close() error { return nil }

func (c *httpConversation) fetch(ctx context.Context, want Want) (io.ReadCloser, error) {
	u := *c.base
	u.Path += packPath
	request, err := c.remote.request(ctx, http.MethodPost, &u, encodeWant(c.ad, want, c.remote.agent))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	request.Header.Set("Accept", resultContentType)
	client := &http.Client{Transport: c.remote, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("the server redirects a request that must not be")
	}}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	err = checkResponse(response, resultContentType)
	var pack io.Reader
	if err == nil {
		pack, err = decodePack(c.ad, want, response.Body)
	}
	if err != nil {
		return nil, errors.Join(err, response.Body.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{pack, response.Body}, nil
}

// limited fails where a stream is longer than allowed.
type limited struct {
	in   io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("the server's list of references has no end")
	}
	n, err := l.in.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}
