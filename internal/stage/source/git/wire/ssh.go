package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// sshRemote reaches a remote over SSH.
type sshRemote struct {
	endpoint Endpoint
	agent    string
	config   *ssh.ClientConfig
	dial     Dial
}

func newSSH(endpoint Endpoint, access Access, options Options, proxy *url.URL) (*sshRemote, error) {
	methods, err := sshMethods(endpoint, access)
	if err != nil {
		return nil, err
	}
	check, algorithms, err := readKnownHosts(access.KnownHosts, endpoint.Address(), options.TempDir)
	if err != nil {
		return nil, err
	}
	dial := options.Dial
	if proxy != nil {
		if dial, err = dialThrough(proxy, dial, access.CA); err != nil {
			return nil, err
		}
	}
	return &sshRemote{
		endpoint: endpoint,
		agent:    options.UserAgent,
		dial:     dial,
		config: &ssh.ClientConfig{
			User:              sshUser(endpoint, access),
			Auth:              methods,
			HostKeyCallback:   check,
			HostKeyAlgorithms: algorithms,
			ClientVersion:     "SSH-2.0-holdfast",
		},
	}, nil
}

func sshUser(endpoint Endpoint, access Access) string {
	switch {
	case endpoint.User != "":
		return endpoint.User.Reveal()
	case access.Username != "":
		return access.Username.Reveal()
	default:
		return "git"
	}
}

func sshMethods(endpoint Endpoint, access Access) ([]ssh.AuthMethod, error) {
	var methods []ssh.AuthMethod
	if len(access.Identity) > 0 {
		signer, err := ssh.ParsePrivateKey(access.Identity.Reveal())
		var encrypted *ssh.PassphraseMissingError
		if errors.As(err, &encrypted) {
			if access.IdentityPassword == "" {
				return nil, errors.New("reading the SSH identity: it is encrypted, and there is no password for it")
			}
			signer, err = ssh.ParsePrivateKeyWithPassphrase(access.Identity.Reveal(), []byte(access.IdentityPassword.Reveal()))
		}
		if err != nil {
			return nil, fmt.Errorf("reading the SSH identity: %w", err)
		}
		methods = append(methods, ssh.PublicKeys(signer))
	}
	password := access.Password
	if password == "" {
		password = endpoint.Password
	}
	if password != "" {
		methods = append(methods, ssh.Password(password.Reveal()))
	}
	if len(methods) == 0 {
		return nil, errors.New("an SSH remote needs an identity or a password")
	}
	return methods, nil
}

func (s *sshRemote) closeIdle() {}

// sshConversation is one run of git-upload-pack on the server.
type sshConversation struct {
	agent   string
	conn    net.Conn
	client  *ssh.Client
	session *ssh.Session
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	stderr  *tail
	ad      *Advertisement
	fetched bool
	release func() bool
}

// open connects and reads the references. Whatever hangs in it is freed when ctx ends, because the
// connection is closed then.
func (s *sshRemote) open(ctx context.Context) (conversation, error) {
	conn, err := s.dial(ctx, "tcp", s.endpoint.Address())
	if err != nil {
		return nil, err
	}
	c := &sshConversation{agent: s.agent, conn: conn, stderr: &tail{}}
	c.release = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := c.start(s); err != nil {
		return nil, errors.Join(explainSSH(err), c.abort())
	}
	c.ad, err = readAdvertisement(&limited{in: c.stdout, left: maxAdvertisement})
	if err != nil {
		return nil, errors.Join(c.explain(err), c.abort())
	}
	return c, nil
}

func (c *sshConversation) start(s *sshRemote) error {
	inner, channels, requests, err := ssh.NewClientConn(c.conn, s.endpoint.Address(), s.config)
	if err != nil {
		return err
	}
	c.client = ssh.NewClient(inner, channels, requests)
	if c.session, err = c.client.NewSession(); err != nil {
		return err
	}
	if c.stdin, err = c.session.StdinPipe(); err != nil {
		return err
	}
	out, err := c.session.StdoutPipe()
	if err != nil {
		return err
	}
	c.stdout = bufio.NewReaderSize(out, 64<<10)
	c.session.Stderr = c.stderr
	return c.session.Start("git-upload-pack " + shellQuote(repositoryPath(s.endpoint.Path)))
}

// repositoryPath keeps the form "/~user/…" that servers expand only without the slash.
func repositoryPath(path string) string {
	if strings.HasPrefix(path, "/~") {
		return path[1:]
	}
	return path
}

// shellQuote quotes as Git does, which its own shell on servers parses.
func shellQuote(text string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(text) + "'"
}

// explain prefers what the server said on its error output over a stream that just ends.
func (c *sshConversation) explain(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	_ = c.session.Wait() // the error output is complete then
	text := c.stderr.String()
	lower := strings.ToLower(text)
	switch {
	case text == "":
		return err
	case strings.Contains(lower, "not found"), strings.Contains(lower, "does not appear to be a git repository"),
		strings.Contains(lower, "does not exist"), strings.Contains(lower, "no such repository"):
		return ErrNotFound
	default:
		return &RemoteError{Text: printable(text)}
	}
}

func explainSSH(err error) error {
	if strings.Contains(err.Error(), "unable to authenticate") {
		return ErrUnauthorized
	}
	return err
}

func (c *sshConversation) advertisement() *Advertisement { return c.ad }

func (c *sshConversation) fetch(_ context.Context, want Want) (io.ReadCloser, error) {
	c.fetched = true
	request := encodeWant(c.ad, want, c.agent)
	if _, err := request.WriteTo(c.stdin); err != nil {
		return nil, c.explain(err)
	}
	pack, err := decodePack(c.ad, want, c.stdout)
	if err != nil {
		return nil, c.explain(err)
	}
	return io.NopCloser(pack), nil
}

// close says goodbye, so that the server's log stays clean, and hangs up.
func (c *sshConversation) close() error {
	if !c.fetched {
		_, _ = io.WriteString(c.stdin, flush)
	}
	return c.abort()
}

func (c *sshConversation) abort() error {
	c.release()
	if c.client != nil {
		_ = c.client.Close()
	}
	_ = c.conn.Close() // closed already where ctx has ended
	return nil
}

// tail keeps the start of what a server writes to its error output.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 1024 - len(t.text); room > 0 {
		t.text = append(t.text, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
