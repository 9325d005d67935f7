package gittest

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Options say what an HTTP server asks of its clients. The zero value is open to all, without TLS.
type Options struct {
	Username, Password string // basic authentication
	BearerToken        string
	TLS                bool // with a certificate of the server's own authority, see Server.CA
	ClientCert         bool // with TLS: ask for a certificate of Server.ClientPair
}

// Request is what a client asked.
type Request struct {
	Method        string
	Host          string
	Path          string // with the query
	Authorization string
	UserAgent     string
	Bytes         int64 // of the response body
}

// Server serves bare repositories with git-http-backend.
type Server struct {
	// Address is the base URL, without a slash at its end.
	Address string

	options Options
	root    string
	backend *cgi.Handler
	http    *httptest.Server
	clients *authority
	done    chan struct{}

	mu       sync.Mutex
	requests []Request
	fault    func(*http.Request) Fault
}

// Serve starts a server that stops with the test.
func Serve(t testing.TB, options Options) *Server {
	t.Helper()
	path := backendPath(t)
	server := &Server{options: options, root: t.TempDir(), done: make(chan struct{})}
	server.backend = &cgi.Handler{
		Path:   path,
		Env:    append(environment(), "GIT_PROJECT_ROOT="+server.root, "GIT_HTTP_EXPORT_ALL=1"),
		Stderr: io.Discard, // what a client that left makes git say is of no interest
		Logger: silent(),
	}
	server.http = httptest.NewUnstartedServer(server)
	server.http.Config.ErrorLog = silent()
	if options.TLS {
		server.startTLS(t)
	} else {
		server.http.Start()
	}
	server.Address = server.http.URL
	t.Cleanup(func() {
		close(server.done) // frees the requests that hang on purpose
		server.http.CloseClientConnections()
		server.http.Close()
	})
	return server
}

func backendPath(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	path := filepath.Join(run(t, nil, "--exec-path"), "git-http-backend")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("git-http-backend is not installed: %v", err)
	}
	return path
}

// Repository makes an empty repository that the server serves. Its name may hold slashes.
func (s *Server) Repository(t testing.TB, name string) *Repository {
	t.Helper()
	repo := create(t, filepath.Join(s.root, filepath.FromSlash(name)+".git"))
	repo.name, repo.base = name, s.Address
	return repo
}

// Root is the folder that holds the repositories; an SSH server can serve it, too.
func (s *Server) Root() string { return s.root }

// CA is the certificate authority of a TLS server, in PEM.
func (s *Server) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

// Requests returns what clients asked since the start or the last Reset.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Count tells how many of the requests had a path that contains text.
func (s *Server) Count(text string) int {
	count := 0
	for _, request := range s.Requests() {
		if strings.Contains(request.Path, text) {
			count++
		}
	}
	return count
}

// Reset forgets the requests so far.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// Break lets choose decide for each request from now on how it goes wrong; nil repairs the server.
func (s *Server) Break(choose func(*http.Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = choose
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	counted := &counter{ResponseWriter: w}
	position := s.note(r)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if position < len(s.requests) {
			s.requests[position].Bytes = counted.bytes
		}
	}()
	if choose := s.chosen(); choose != nil {
		if fault := choose(r); fault != nil {
			fault(counted, r, s)
			return
		}
	}
	if !s.admits(r) {
		counted.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(counted, "who are you?", http.StatusUnauthorized)
		return
	}
	s.backend.ServeHTTP(counted, r)
}

func (s *Server) chosen() func(*http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

func (s *Server) note(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{
		Method:        r.Method,
		Host:          r.Host,
		Path:          r.URL.RequestURI(),
		Authorization: r.Header.Get("Authorization"),
		UserAgent:     r.UserAgent(),
	})
	return len(s.requests) - 1
}

func (s *Server) admits(r *http.Request) bool {
	if s.options.BearerToken != "" {
		return r.Header.Get("Authorization") == "Bearer "+s.options.BearerToken
	}
	if s.options.Username == "" && s.options.Password == "" {
		return true
	}
	username, password, _ := r.BasicAuth()
	return username == s.options.Username && password == s.options.Password
}

// counter counts the bytes of a response and stays flushable.
type counter struct {
	http.ResponseWriter
	bytes int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// Unwrap serves http.ResponseController.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Client trusts the server's certificate.
func (s *Server) Client() *http.Client { return s.http.Client() }
