package localcluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

// listen opens the port of the API server on the loopback address. A wanted port must be free. With
// none wanted it takes the port of last time, so that a kubeconfig stays good, or else a free one.
func listen(ctx context.Context, f folder, wanted int) (*listener, error) {
	var config net.ListenConfig
	open := func(port int) (net.Listener, error) {
		return config.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	if wanted != 0 {
		inner, err := open(wanted)
		if err != nil {
			return nil, fmt.Errorf("opening port %d for the API server: %w", wanted, err)
		}
		return &listener{Listener: inner}, nil
	}
	inner, err := open(lastPort(f))
	if err != nil {
		inner, err = open(0)
	}
	if err != nil {
		return nil, fmt.Errorf("opening a port for the API server: %w", err)
	}
	port := inner.Addr().(*net.TCPAddr).Port
	if err := replaceFile(f.port(), []byte(strconv.Itoa(port)+"\n")); err != nil {
		_ = inner.Close()
		return nil, fmt.Errorf("writing the port of the API server: %w", err)
	}
	return &listener{Listener: inner}, nil
}

func lastPort(f folder) int {
	data, err := os.ReadFile(f.port())
	if err != nil {
		return 0
	}
	port, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 16)
	if err != nil {
		return 0
	}
	return int(port)
}

// listener remembers its connections, so that a stop need not wait for clients that hold them open.
type listener struct {
	net.Listener
	mu   sync.Mutex
	open map[*connection]struct{}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		_ = tcp.SetKeepAlive(true)
	}
	c := &connection{Conn: inner, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[*connection]struct{}{}
	}
	l.open[c] = struct{}{}
	return c, nil
}

// cut closes all connections.
func (l *listener) cut() {
	l.mu.Lock()
	conns := make([]*connection, 0, len(l.open))
	for c := range l.open {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

type connection struct {
	net.Conn
	listener *listener
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
