package receiver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	issuerPatience  = 10 * time.Second
	maxIssuerAnswer = 1 << 20
	maxRedirects    = 3
)

// guardedClient reaches issuers. A tenant names them, so it goes to no address that only this machine
// can reach, whatever name led there: the address is looked at when it is dialled.
func guardedClient() *http.Client {
	dialer := &net.Dialer{Timeout: issuerPatience, Control: refuseLocal}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: issuerPatience, ResponseHeaderTimeout: issuerPatience, IdleConnTimeout: time.Minute, MaxIdleConns: 16,
	}
	return &http.Client{
		Timeout: 2 * issuerPatience, Transport: bounded{transport},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return errors.New("too many redirects")
			}
			return nil
		},
	}
}

// refuseLocal refuses addresses of this machine and of its link, where clouds keep credentials.
func refuseLocal(_, address string, _ syscall.RawConn) error {
	host, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dialling %s: %w", address, err)
	}
	ip := host.Addr().Unmap()
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsUnspecified() || ip.IsMulticast() {
		return fmt.Errorf("dialling %s: an issuer may not be there", ip)
	}
	return nil
}

// bounded cuts off answers that are too long for what an issuer has to say.
type bounded struct{ inner http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.inner.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxIssuerAnswer), response.Body}
	return response, nil
}
