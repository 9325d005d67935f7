package wire

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"holdfast.dev/holdfast/internal/model/redact"
)

// Endpoint is the address of a remote repository. Its String is safe to show.
type Endpoint struct {
	Scheme string // http, https or ssh
	Host   string // name or address, lower case, without brackets
	Port   string // never empty
	Path   string // begins with a slash; not escaped
	Query  redact.Text
	// User and Password are what the URL itself said; the password never shows.
	User     redact.Text
	Password redact.Text
}

// maxURL is more than any server takes.
const maxURL = 4096

// errURL never quotes the URL: what cannot be parsed cannot be scrubbed.
var errURL = errors.New("malformed URL")

// Parse reads an absolute URL.
func Parse(raw string) (Endpoint, error) {
	if len(raw) > maxURL || !utf8.ValidString(raw) || strings.ContainsFunc(raw, unacceptable) {
		return Endpoint{}, fmt.Errorf("%w: too long, or with characters that no URL has", errURL)
	}
	parsed, err := url.Parse(raw)
	if err != nil {
		return Endpoint{}, errURL
	}
	return fromURL(parsed)
}

func unacceptable(r rune) bool { return unicode.IsControl(r) || r == ' ' || r == '\\' }

func fromURL(parsed *url.URL) (Endpoint, error) {
	e := Endpoint{Scheme: strings.ToLower(parsed.Scheme), Path: parsed.Path, Query: redact.Text(parsed.RawQuery)}
	switch e.Scheme {
	case "http":
		e.Port = "80"
	case "https":
		e.Port = "443"
	case "ssh":
		e.Port = "22"
	default:
		return Endpoint{}, fmt.Errorf("%w: the scheme must be http, https or ssh", errURL)
	}
	if parsed.Port() != "" {
		e.Port = parsed.Port()
	}
	if number, err := strconv.ParseUint(e.Port, 10, 16); err != nil || number == 0 {
		return Endpoint{}, fmt.Errorf("%w: no such port", errURL)
	}
	e.Host = strings.ToLower(parsed.Hostname())
	if e.Host == "" || parsed.Opaque != "" || strings.HasPrefix(e.Host, "-") {
		return Endpoint{}, fmt.Errorf("%w: no host", errURL)
	}
	// The path becomes an argument of a command on an SSH server, and a line of a request.
	if strings.ContainsFunc(e.Path, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
		return Endpoint{}, fmt.Errorf("%w: control characters in the path", errURL)
	}
	e.Path = "/" + strings.Trim(e.Path, "/")
	if e.Path == "/" {
		return Endpoint{}, fmt.Errorf("%w: no path", errURL)
	}
	if parsed.User != nil {
		e.User = redact.Text(parsed.User.Username())
		password, _ := parsed.User.Password()
		e.Password = redact.Text(password)
	}
	if strings.HasPrefix(e.User.Reveal(), "-") || strings.ContainsFunc(e.User.Reveal(), unicode.IsControl) {
		return Endpoint{}, fmt.Errorf("%w: no such user", errURL)
	}
	return e, nil
}

// String is the URL without user, password and query.
func (e Endpoint) String() string {
	return (&url.URL{Scheme: e.Scheme, Host: e.authority(), Path: e.Path}).String()
}

// authority is the host, and the port where it is not the scheme's own.
func (e Endpoint) authority() string {
	if e.Port == map[string]string{"http": "80", "https": "443", "ssh": "22"}[e.Scheme] {
		if strings.Contains(e.Host, ":") {
			return "[" + e.Host + "]"
		}
		return e.Host
	}
	return e.Address()
}

// Address is host:port.
func (e Endpoint) Address() string { return net.JoinHostPort(e.Host, e.Port) }

// SameOrigin tells whether credentials for one endpoint may be shown to the other: scheme, host and
// port are the same.
func (e Endpoint) SameOrigin(other Endpoint) bool {
	return e.Scheme == other.Scheme && e.Host == other.Host && e.Port == other.Port
}

// Resolve reads the URL of a submodule: absolute, in the short form of SSH ("git@host:path"), or
// relative to the repository that names it ("../other.git").
func (e Endpoint) Resolve(raw string) (Endpoint, error) {
	switch {
	case strings.HasPrefix(raw, "./"), strings.HasPrefix(raw, "../"):
		if len(raw) > maxURL || strings.ContainsFunc(raw, unacceptable) {
			return Endpoint{}, fmt.Errorf("%w: too long, or with characters that no URL has", errURL)
		}
		resolved := e
		resolved.Path = path.Clean(e.Path + "/" + raw)
		if resolved.Path == "/" || strings.Count(raw, "../") > strings.Count(e.Path, "/") {
			return Endpoint{}, fmt.Errorf("%w: leads out of the server", errURL)
		}
		return resolved, nil
	case strings.Contains(raw, "://"):
		return Parse(raw)
	default:
		host, rest, found := strings.Cut(raw, ":")
		if !found || strings.Contains(host, "/") || strings.HasPrefix(raw, "-") {
			return Endpoint{}, fmt.Errorf("%w: neither absolute nor relative", errURL)
		}
		return Parse("ssh://" + host + "/" + strings.TrimPrefix(rest, "/"))
	}
}
