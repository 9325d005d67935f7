package gittest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
)

// Proxy forwards TCP connections, as an HTTP proxy (CONNECT and absolute URLs) and as a SOCKS5
// proxy, on one port: the first byte tells.
type Proxy struct {
	// Address is host:port.
	Address string

	username, password string
	listener           net.Listener
	group              sync.WaitGroup

	mu      sync.Mutex
	targets []string
	open    map[net.Conn]struct{}
}

// ServeProxy starts a proxy that stops with the test. Without a user name it asks for nothing.
func ServeProxy(t testing.TB, username, password string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listening: %v", err)
	}
	p := &Proxy{
		Address: listener.Addr().String(), username: username, password: password,
		listener: listener, open: map[net.Conn]struct{}{},
	}
	p.group.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for conn := range p.open {
			_ = conn.Close()
		}
		p.mu.Unlock()
		p.group.Wait()
	})
	return p
}

// Targets returns where clients wanted to go, host:port.
func (p *Proxy) Targets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.targets...)
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.open[conn] = struct{}{}
		p.mu.Unlock()
		p.group.Go(func() {
			defer func() {
				_ = conn.Close()
				p.mu.Lock()
				delete(p.open, conn)
				p.mu.Unlock()
			}()
			in := bufio.NewReader(conn)
			if first, err := in.Peek(1); err == nil && first[0] == 5 {
				p.socks(conn, in)
			} else if err == nil {
				p.http(conn, in)
			}
		})
	}
}

func (p *Proxy) http(conn net.Conn, in *bufio.Reader) {
	request, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	check := &http.Request{Header: http.Header{"Authorization": request.Header["Proxy-Authorization"]}}
	if username, password, _ := check.BasicAuth(); p.username != "" && (username != p.username || password != p.password) {
		_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	target := request.Host
	if _, _, err := net.SplitHostPort(target); err != nil {
		target = net.JoinHostPort(target, "80")
	}
	out, ok := p.dial(target)
	if !ok {
		_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if request.Method == http.MethodConnect {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	} else {
		request.Header.Del("Proxy-Authorization")
		request.Header.Set("Connection", "close")
		if request.Write(out) != nil {
			return
		}
	}
	p.pipe(conn, in, out)
}

// socks speaks as much of RFC 1928 and 1929 as clients need.
func (p *Proxy) socks(conn net.Conn, in *bufio.Reader) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(in, head); err != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, in, int64(head[1])); err != nil {
		return
	}
	if p.username == "" {
		_, _ = conn.Write([]byte{5, 0})
	} else {
		_, _ = conn.Write([]byte{5, 2})
		if _, err := in.ReadByte(); err != nil {
			return
		}
		username, password := field(in), field(in)
		if username != p.username || password != p.password {
			_, _ = conn.Write([]byte{1, 1})
			return
		}
		_, _ = conn.Write([]byte{1, 0})
	}
	target, err := socksTarget(in)
	if err != nil {
		return
	}
	out, ok := p.dial(target)
	if !ok {
		_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	p.pipe(conn, in, out)
}

func field(in *bufio.Reader) string {
	length, err := in.ReadByte()
	if err != nil {
		return ""
	}
	text := make([]byte, length)
	_, _ = io.ReadFull(in, text)
	return string(text)
}

func socksTarget(in *bufio.Reader) (string, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(in, head); err != nil {
		return "", err
	}
	var host string
	switch head[3] {
	case 1, 4:
		address := make([]byte, map[byte]int{1: 4, 4: 16}[head[3]])
		if _, err := io.ReadFull(in, address); err != nil {
			return "", err
		}
		host = net.IP(address).String()
	case 3:
		host = field(in)
	default:
		return "", fmt.Errorf("unknown address type %d", head[3])
	}
	port := make([]byte, 2)
	_, err := io.ReadFull(in, port)
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port)))), err
}

func (p *Proxy) dial(target string) (net.Conn, bool) {
	p.mu.Lock()
	p.targets = append(p.targets, target)
	p.mu.Unlock()
	out, err := net.Dial("tcp", target)
	if err != nil {
		return nil, false
	}
	p.mu.Lock()
	p.open[out] = struct{}{}
	p.mu.Unlock()
	return out, true
}

func (p *Proxy) pipe(conn net.Conn, in *bufio.Reader, out net.Conn) {
	p.group.Go(func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	})
	_, _ = io.Copy(conn, out)
	_ = conn.Close()
	_ = out.Close()
	p.mu.Lock()
	delete(p.open, out)
	p.mu.Unlock()
}
