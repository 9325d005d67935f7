package gittest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSHOptions say whom an SSH server lets in. The zero value lets in nobody.
type SSHOptions struct {
	Key      ssh.PublicKey
	Password string
}

// SSHServer serves the repositories of a folder with git-upload-pack.
type SSHServer struct {
	// Address is host:port.
	Address string

	root     string
	config   *ssh.ServerConfig
	host     ssh.Signer
	listener net.Listener
	group    sync.WaitGroup

	mu       sync.Mutex
	sessions []string
	conns    map[net.Conn]struct{}
}

// ServeSSH starts an SSH server for the folder root (see Server.Root) that stops with the test.
func ServeSSH(t testing.TB, root string, options SSHOptions) *SSHServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listening: %v", err)
	}
	server := &SSHServer{
		Address:  listener.Addr().String(),
		root:     root,
		listener: listener,
		host:     newSigner(t),
		config:   &ssh.ServerConfig{},
		conns:    map[net.Conn]struct{}{},
	}
	server.admit(options)
	server.config.AddHostKey(server.host)
	server.group.Add(1)
	go server.accept()
	t.Cleanup(server.stop)
	return server
}

func (s *SSHServer) admit(options SSHOptions) {
	if options.Key != nil {
		s.config.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if bytes.Equal(key.Marshal(), options.Key.Marshal()) {
				return nil, nil
			}
			return nil, errors.New("unknown key")
		}
	}
	if options.Password != "" {
		s.config.PasswordCallback = func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if string(password) == options.Password {
				return nil, nil
			}
			return nil, errors.New("wrong password")
		}
	}
}

// URL is the address of a repository, by the name that Server.Repository gave it.
func (s *SSHServer) URL(name string) string { return "ssh://git@" + s.Address + "/" + name + ".git" }

// KnownHosts is the server's line of a known_hosts file.
func (s *SSHServer) KnownHosts() []byte {
	return []byte(knownhosts.Line([]string{s.Address}, s.host.PublicKey()) + "\n")
}

// OtherKnownHosts names the server with a key that it does not have.
func (s *SSHServer) OtherKnownHosts(t testing.TB) []byte {
	t.Helper()
	return []byte(knownhosts.Line([]string{s.Address}, newSigner(t).PublicKey()) + "\n")
}

// Sessions returns the commands that clients ran.
func (s *SSHServer) Sessions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.sessions...)
}

func (s *SSHServer) stop() {
	_ = s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.group.Wait()
}

func (s *SSHServer) accept() {
	defer s.group.Done()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		s.group.Add(1)
		go func() {
			defer s.group.Done()
			s.serve(conn)
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		}()
	}
}

func (s *SSHServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for incoming := range channels {
		if incoming.ChannelType() != "session" {
			_ = incoming.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, requests, err := incoming.Accept()
		if err != nil {
			return
		}
		s.group.Add(1)
		go func() {
			defer s.group.Done()
			s.session(channel, requests)
		}()
	}
}

func (s *SSHServer) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer func() { _ = channel.Close() }()
	for request := range requests {
		if request.Type != "exec" {
			_ = request.Reply(false, nil)
			continue
		}
		var payload struct{ Command string }
		if err := ssh.Unmarshal(request.Payload, &payload); err != nil {
			_ = request.Reply(false, nil)
			return
		}
		_ = request.Reply(true, nil)
		status := s.upload(channel, payload.Command)
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

// upload runs git-upload-pack for "git-upload-pack '/name.git'", the only command there is.
func (s *SSHServer) upload(channel ssh.Channel, line string) uint32 {
	s.mu.Lock()
	s.sessions = append(s.sessions, line)
	s.mu.Unlock()
	path, ok := strings.CutPrefix(line, "git-upload-pack ")
	if !ok {
		_, _ = fmt.Fprintln(channel.Stderr(), "only git-upload-pack is served")
		return 1
	}
	path = strings.Trim(path, "'")
	dir := filepath.Join(s.root, filepath.Join("/", filepath.FromSlash(path)))
	cmd := exec.Command("git", "upload-pack", "--strict", dir)
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 1
	}
	if err := cmd.Start(); err != nil {
		return 1
	}
	go func() { // ends with the channel; Wait must not wait for it
		defer func() { _ = stdin.Close() }()
		buffer := make([]byte, 4096)
		for {
			n, err := channel.Read(buffer)
			if _, broken := stdin.Write(buffer[:n]); broken != nil || err != nil {
				return
			}
		}
	}()
	if err := cmd.Wait(); err != nil {
		return 1
	}
	return 0
}

// NewSSHKey returns a new private key in PEM, encrypted if there is a passphrase, and its public key.
func NewSSHKey(t testing.TB, passphrase string) (private []byte, public ssh.PublicKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatalf("generating a key: %v", err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatalf("making a signer: %v", err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatalf("encoding a key: %v", err)
	}
	return pem.EncodeToMemory(block), signer.PublicKey()
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	private, _ := NewSSHKey(t, "")
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatalf("parsing a key: %v", err)
	}
	return signer
}
