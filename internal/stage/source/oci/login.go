package oci

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"holdfast.dev/holdfast/internal/model/redact"
)

// Login is what a registry may ask of us.
type Login struct {
	Username redact.Text
	Password redact.Text
	// Identity is a refresh token that the registry changes for others, Bearer one that is sent as it is.
	Identity redact.Text
	Bearer   redact.Text
}

func (l *Login) authenticator() authn.Authenticator {
	if l == nil || *l == (Login{}) {
		return authn.Anonymous
	}
	return authn.FromConfig(authn.AuthConfig{
		Username: l.Username.Reveal(), Password: l.Password.Reveal(),
		IdentityToken: l.Identity.Reveal(), RegistryToken: l.Bearer.Reveal(),
	})
}

// Logins are the logins of a docker configuration, by the registries that they are for.
type Logins struct{ entries []entry }

type entry struct {
	host, port, path string
	login            Login
}

// errConfig repeats nothing of what it is about.
var errConfig = errors.New("it is no docker configuration: want {\"auths\": {\"registry.example.com\": {\"username\": …, \"password\": …}}}")

// ParseConfig reads a docker configuration, as a Secret of type kubernetes.io/dockerconfigjson holds it, or the
// older form without "auths".
func ParseConfig(content []byte) (Logins, error) {
	var config struct {
		Auths map[string]held `json:"auths"`
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return Logins{}, errConfig
	}
	if config.Auths == nil {
		if err := json.Unmarshal(content, &config.Auths); err != nil {
			return Logins{}, errConfig
		}
	}
	var all Logins
	for address, held := range config.Auths {
		login, err := held.login()
		if err != nil {
			return Logins{}, err
		}
		e := entry{login: login}
		e.host, e.port, e.path = split(address)
		all.entries = append(all.entries, e)
	}
	return all, nil
}

// held is a login as docker writes it.
type held struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

func (h held) login() (Login, error) {
	login := Login{
		Username: redact.Text(h.Username), Password: redact.Text(h.Password),
		Identity: redact.Text(h.IdentityToken), Bearer: redact.Text(h.RegistryToken),
	}
	if h.Auth == "" || h.Username != "" {
		return login, nil
	}
	decoded, err := base64.StdEncoding.DecodeString(h.Auth)
	if err != nil {
		decoded, err = base64.RawStdEncoding.DecodeString(h.Auth)
	}
	username, password, found := strings.Cut(string(decoded), ":")
	if err != nil || !found {
		return Login{}, errors.New("a login's field auth is not base64 of username:password")
	}
	login.Username, login.Password = redact.Text(username), redact.Text(strings.TrimRight(password, "\x00"))
	return login, nil
}

// Join puts the logins of others behind these.
func (l Logins) Join(others Logins) Logins {
	return Logins{append(append([]entry(nil), l.entries...), others.entries...)}
}

// For returns the login for a repository, and nil where there is none. The entry with the longest path wins,
// and of equal ones the first.
func (l Logins) For(repository name.Repository) *Login {
	host, port, within := split(repository.Name())
	var best *entry
	for i, e := range l.entries {
		if !matchHost(e.host, host) || e.port != port || !hasPath(within, e.path) {
			continue
		}
		if best == nil || len(e.path) > len(best.path) {
			best = &l.entries[i]
		}
	}
	if best == nil {
		return nil
	}
	return &best.login
}

// split takes an address of a docker configuration apart. The names of Docker Hub are one.
func split(address string) (host, port, within string) {
	address = strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://")
	host, within, _ = strings.Cut(address, "/")
	within = strings.Trim(within, "/")
	if within == "v1" || within == "v2" {
		within = ""
	}
	if i := strings.LastIndex(host, ":"); i >= 0 && !strings.HasSuffix(host, "]") {
		host, port = host[:i], host[i+1:]
	}
	host = strings.ToLower(host)
	if host == "docker.io" || host == "registry-1.docker.io" {
		host = name.DefaultRegistry
	}
	return host, port, within
}

// matchHost compares label by label; an asterisk stands for letters of one label, as the kubelet has it.
func matchHost(pattern, host string) bool {
	patterns, labels := strings.Split(pattern, "."), strings.Split(host, ".")
	if len(patterns) != len(labels) {
		return false
	}
	for i := range labels {
		if matches, err := path.Match(patterns[i], labels[i]); err != nil || !matches {
			return false
		}
	}
	return true
}

func hasPath(within, prefix string) bool {
	return prefix == "" || within == prefix || strings.HasPrefix(within, prefix+"/")
}
