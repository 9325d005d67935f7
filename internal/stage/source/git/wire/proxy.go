package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/proxy"
)

var proxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// parseProxy returns the URL of the proxy with its credentials, or nil where there is none.
func parseProxy(access Access) (*url.URL, error) {
	if access.Proxy == "" {
		return nil, nil //nolint:nilnil // no proxy
	}
	parsed, err := url.Parse(access.Proxy)
	if err != nil || parsed.Hostname() == "" || proxyPorts[parsed.Scheme] == "" {
		return nil, errors.New("malformed proxy URL: it must be http, https or socks5, with a host")
	}
	if access.ProxyUsername != "" || access.ProxyPassword != "" {
		parsed.User = url.UserPassword(access.ProxyUsername.Reveal(), access.ProxyPassword.Reveal())
	}
	return parsed, nil
}

// dialThrough makes connections through a proxy. HTTP remotes need it not: net/http does the same.
func dialThrough(through *url.URL, dial Dial, ca []byte) (Dial, error) {
	address := through.Host
	if through.Port() == "" {
		address = net.JoinHostPort(through.Hostname(), proxyPorts[through.Scheme])
	}
	if through.Scheme == "socks5" || through.Scheme == "socks5h" {
		return dialSOCKS(through, dial, address)
	}
	roots, err := readRoots(ca)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, _, target string) (net.Conn, error) {
		conn, err := dial(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		release := context.AfterFunc(ctx, func() { _ = conn.Close() })
		defer release()
		if through.Scheme == "https" {
			conn = tls.Client(conn, &tls.Config{ServerName: through.Hostname(), RootCAs: roots, MinVersion: tls.VersionTLS12})
		}
		tunnel, err := connect(conn, target, through.User)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connecting through the proxy: %w", err), conn.Close())
		}
		return tunnel, nil
	}, nil
}

// connect asks an HTTP proxy for a tunnel.
func connect(conn net.Conn, target string, user *url.Userinfo) (net.Conn, error) {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		secret := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		request.Header.Set("Proxy-Authorization", "Basic "+secret)
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	buffered := bufio.NewReader(conn)
	response, err := http.ReadResponse(buffered, request) //nolint:bodyclose // the body is the tunnel; there is nothing to close
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	return &tunnelled{Conn: conn, in: buffered}, nil
}

// tunnelled reads first what came together with the proxy's answer.
type tunnelled struct {
	net.Conn
	in *bufio.Reader
}

func (t *tunnelled) Read(p []byte) (int, error) { return t.in.Read(p) }

func dialSOCKS(through *url.URL, dial Dial, address string) (Dial, error) {
	var auth *proxy.Auth
	if through.User != nil {
		password, _ := through.User.Password()
		auth = &proxy.Auth{User: through.User.Username(), Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", address, auth, forward(dial))
	if err != nil {
		return nil, fmt.Errorf("setting up the proxy: %w", err)
	}
	contextual, ok := dialer.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("setting up the proxy: it obeys no deadline")
	}
	return contextual.DialContext, nil
}

// forward lets the proxy's own connection pass the policy of our dialer.
type forward Dial

// Dial implements proxy.Dialer.
func (f forward) Dial(network, address string) (net.Conn, error) {
	return f(context.Background(), network, address)
}

// DialContext implements proxy.ContextDialer.
func (f forward) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}
