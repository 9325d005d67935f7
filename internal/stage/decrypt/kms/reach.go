package kms

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Reach says which key services may be asked. A file names its Vault, so whoever writes files would
// otherwise choose where we connect to. The zero value is the right default: no address of this machine
// or of its link, and so no metadata service, can be reached.
type Reach struct {
	// Vaults are the addresses of the only Vaults that may be asked, "https://vault.example.org:8200".
	// What is listed may be anywhere. Empty means any that is not on this machine or its link.
	Vaults []string
	// AWS, Google are addresses that stand for those of AWS's KMS and STS and of Google's KMS, for
	// compatible services. Empty means the providers' own.
	AWS, Google string
	// Client asks Azure and Google in the place of our own client, for tests.
	Client *http.Client
}

// String identifies the settings.
func (r Reach) String() string {
	return strings.Join(append(slices.Sorted(slices.Values(r.Vaults)), "", r.AWS, r.Google), "\n")
}

var errForbidden = errors.New("its address is on this machine or its link, which no file may make us connect to; the operator can allow it")

var errNotListed = errors.New("its address is not among those that the operator allows")

// vaultClient returns a client for one Vault.
func (r Reach) vaultClient(address string) (*http.Client, error) {
	if len(r.Vaults) == 0 {
		return guarded(nil), nil
	}
	if slices.ContainsFunc(r.Vaults, func(known string) bool { return strings.TrimSuffix(known, "/") == address }) {
		return open(), nil
	}
	return nil, errNotListed
}

// cloudClient returns a client for a provider whose address may be stood in for.
func (r Reach) cloudClient(standIn string) *http.Client {
	switch {
	case r.Client != nil:
		return r.Client
	case standIn != "":
		return open()
	default:
		return guarded(http.ProxyFromEnvironment)
	}
}

const connectTime = 5 * time.Second

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// open reaches everything. Credentials go where they are meant to, so nothing is redirected.
func open() *http.Client {
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: connectTime}).DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: connectTime}
	return &http.Client{Transport: transport, CheckRedirect: noRedirect, Timeout: patience}
}

// guarded reaches what is neither on this machine nor on its link, whatever name it goes by.
func guarded(proxy proxyFunc) *http.Client {
	dialer := &net.Dialer{Timeout: connectTime, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		return permitted(address)
	}}
	transport := &http.Transport{
		Proxy: proxy, DialContext: dialer.DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: connectTime, ForceAttemptHTTP2: true,
	}
	return &http.Client{Transport: transport, CheckRedirect: noRedirect, Timeout: patience}
}

func permitted(address string) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w (%s)", errForbidden, address)
	}
	ip := target.Addr().Unmap()
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() || ip == awsMetadata6 {
		return errForbidden
	}
	return nil
}

// awsMetadata6 is where the metadata service of AWS is in IPv6: not on the link by its number.
var awsMetadata6 = netip.MustParseAddr("fd00:ec2::254")
