package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/model/redact"
)

// Access is what a remote may ask of us, and the way to it. The zero value is anonymous and direct.
type Access struct {
	Username         redact.Text
	Password         redact.Text
	BearerToken      redact.Text
	Tokens           Tokens       // HTTP only; in place of Password
	Identity         redact.Bytes // SSH private key, PEM
	IdentityPassword redact.Text
	KnownHosts       []byte // required for SSH
	CA               []byte // PEM; in place of the system's roots
	ClientCert       redact.Bytes
	ClientKey        redact.Bytes
	Proxy            string // URL: http, https or socks5
	ProxyUsername    redact.Text
	ProxyPassword    redact.Text
}

// Dial opens a network connection. It is where a policy refuses addresses.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Options are the same for all remotes.
type Options struct {
	Dial      Dial                                  // nil means a plain net.Dialer
	UserAgent string                                // "" means "git/holdfast"
	Proxy     func(*http.Request) (*url.URL, error) // for remotes without a proxy of their own; nil means none
	TempDir   string                                // where a known_hosts file may be for a moment
}

// AccessError says that what gives access is unusable in itself: no retry helps.
type AccessError struct{ Err error }

// Error implements error.
func (e *AccessError) Error() string { return e.Err.Error() }

// Unwrap implements the errors.Unwrap contract.
func (e *AccessError) Unwrap() error { return e.Err }

// Errors of remotes, as people know them.
var (
	ErrUnauthorized = errors.New("authentication failed")
	ErrForbidden    = errors.New("access denied")
	ErrNotFound     = errors.New("repository not found")
)

// Client reaches one remote. It is safe for concurrent use.
type Client struct {
	connect connector
	secrets []string
	login   *login // nil for SSH
}

// connector opens conversations over one kind of transport.
type connector interface {
	open(ctx context.Context) (conversation, error)
	closeIdle()
}

// conversation is one exchange with a remote.
type conversation interface {
	advertisement() *Advertisement
	fetch(ctx context.Context, want Want) (io.ReadCloser, error)
	close() error
}

// NewClient checks the access and makes a client; it does not touch the network.
func NewClient(endpoint Endpoint, access Access, options Options) (*Client, error) {
	if options.Dial == nil {
		options.Dial = (&net.Dialer{}).DialContext
	}
	if options.UserAgent == "" {
		options.UserAgent = "git/holdfast"
	}
	proxy, err := parseProxy(access)
	if err != nil {
		return nil, &AccessError{Err: err}
	}
	client := &Client{secrets: secretsOf(endpoint, access)}
	if endpoint.Scheme == "ssh" {
		client.connect, err = newSSH(endpoint, access, options, proxy)
	} else {
		var remote *httpRemote
		if remote, err = newHTTP(endpoint, access, options, proxy); err == nil {
			client.connect, client.login = remote, remote.login
		}
	}
	if err != nil {
		return nil, &AccessError{Err: client.Scrub(err)}
	}
	return client, nil
}

// CloseIdle closes connections that wait for the next request.
func (c *Client) CloseIdle() { c.connect.closeIdle() }

// Open asks the remote for its references. The conversation must be closed.
func (c *Client) Open(ctx context.Context) (*Conversation, error) {
	inner, err := c.connect.open(ctx)
	if err != nil {
		return nil, c.fail(ctx, err)
	}
	return &Conversation{client: c, inner: inner}, nil
}

// Conversation is one exchange with a remote: its references, and then at most one pack.
type Conversation struct {
	client *Client
	inner  conversation
}

// Advertisement returns the references.
func (c *Conversation) Advertisement() *Advertisement { return c.inner.advertisement() }

// Fetch asks for a pack. The stream obeys ctx.
func (c *Conversation) Fetch(ctx context.Context, want Want) (io.ReadCloser, error) {
	stream, err := c.inner.fetch(ctx, want)
	if err != nil {
		return nil, c.client.fail(ctx, err)
	}
	return &guarded{ReadCloser: stream, ctx: ctx, client: c.client}, nil
}

// Close ends the conversation.
func (c *Conversation) Close() error { return c.client.Scrub(c.inner.close()) }

// guarded gives the errors of a stream the same treatment as all others.
type guarded struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // lives as long as one stream
	client *Client
}

func (g *guarded) Read(p []byte) (int, error) {
	n, err := g.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = g.client.fail(g.ctx, err)
	}
	return n, err
}

// fail prefers the reason for which we gave up over what the closed connection then said.
func (c *Client) fail(ctx context.Context, err error) error {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done() // a connection with the same deadline may notice it first
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var parsed *url.Error
	for errors.As(err, &parsed) { // its text has the whole URL, query and all
		err = parsed.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the server closed the connection early")
	}
	return c.Scrub(err)
}

// Scrub makes sure that no secret of this client is in an error's text. A nil err stays nil.
func (c *Client) Scrub(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := text
	for _, secret := range c.secrets {
		clean = strings.ReplaceAll(clean, secret, redact.Placeholder)
	}
	if c.login != nil && c.login.secret() != "" {
		clean = strings.ReplaceAll(clean, c.login.secret(), redact.Placeholder)
	}
	if clean == text {
		return err
	}
	return &scrubbed{text: clean, err: err}
}

// scrubbed keeps an error's identity and hides its text: it does not unwrap.
type scrubbed struct {
	text string
	err  error
}

func (s *scrubbed) Error() string        { return s.text }
func (s *scrubbed) Is(target error) bool { return errors.Is(s.err, target) }

// secretsOf lists what must not be in a message. Single characters would make noise of any text.
func secretsOf(endpoint Endpoint, access Access) []string {
	var secrets []string
	for _, secret := range []redact.Text{
		endpoint.Password, endpoint.Query, access.Password, access.BearerToken, access.IdentityPassword, access.ProxyPassword,
	} {
		if plain := secret.Reveal(); len(plain) > 2 {
			secrets = append(secrets, plain, url.QueryEscape(plain), url.PathEscape(plain))
		}
	}
	return secrets
}
