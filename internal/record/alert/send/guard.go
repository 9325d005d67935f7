package send

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// errForbidden is what a connection to a forbidden address ends with.
var errForbidden = errors.New("the address is one that alerts are never sent to")

// guard keeps connections away from what a service on the network never is: addresses of this link,
// metadata services of clouds and, unless it is allowed, this machine itself. It looks at the address
// that is about to be connected to, so no name resolution can get past it.
type guard struct{ loopback bool }

// control is a net.Dialer's Control.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return errForbidden
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || g.forbids(ip) {
		return errForbidden
	}
	return nil
}

// permits looks at a host as an address names it. It is all that can be done where a proxy connects.
func (g guard) permits(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return !g.forbids(ip)
	}
	switch name := strings.ToLower(strings.TrimSuffix(host, ".")); {
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return g.loopback
	default:
		return name != "metadata" && name != "metadata.google.internal" && name != "instance-data" && name != ""
	}
}

func (g guard) forbids(ip netip.Addr) bool {
	ip = embedded(ip.Unmap().WithZone(""))
	switch {
	case ip.IsLoopback():
		return !g.loopback
	case ip.IsUnspecified(), ip.IsMulticast(), ip.IsLinkLocalUnicast():
		return true
	}
	switch ip.String() {
	case "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254", "255.255.255.255":
		return true // metadata and host services of Alibaba, Azure, Oracle, Amazon and Google; broadcast
	}
	return false
}

// embedded returns the IPv4 address that a translated IPv6 address stands for (RFC 6052, RFC 3056).
func embedded(ip netip.Addr) netip.Addr {
	if !ip.Is6() {
		return ip
	}
	bytes := ip.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(ip), netip.MustParsePrefix("::/96").Contains(ip) && !ip.IsLoopback() && !ip.IsUnspecified():
		return netip.AddrFrom4([4]byte(bytes[12:16]))
	case netip.MustParsePrefix("2002::/16").Contains(ip):
		return netip.AddrFrom4([4]byte(bytes[2:6]))
	}
	return ip
}
