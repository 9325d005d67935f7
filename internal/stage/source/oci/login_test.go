package oci_test

import (
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/stage/source/oci"
)

func TestLogins(t *testing.T) {
	const config = `{"auths": {
		"https://index.docker.io/v1/": {"auth": "aHViOnB3"},
		"ghcr.io": {"username": "all", "password": "x"},
		"ghcr.io/org": {"username": "org", "password": "x"},
		"*.example.com": {"username": "star", "password": "x"},
		"127.0.0.1:5000": {"identitytoken": "refresh"}
	}}`
	logins, err := oci.ParseConfig([]byte(config))
	check(t, err)
	cases := map[string]struct{ why, address, want string }{
		"Hub":       {"all names of Docker Hub are one", "oci://docker.io/library/nginx", "hub"},
		"Host":      {"a host", "oci://ghcr.io/other/app", "all"},
		"Path":      {"the longest path wins", "oci://ghcr.io/org/app", "org"},
		"PathIsNot": {"half a name is another name", "oci://ghcr.io/organisation/app", "all"},
		"Star":      {"an asterisk is one label", "oci://registry.example.com/app", "star"},
		"StarDeep":  {"and not two", "oci://a.registry.example.com/app", ""},
		"OtherPort": {"a port is part of the name", "oci://127.0.0.1:5001/app", ""},
		"Suffix":    {"a longer name is another host", "oci://ghcr.io.evil.example/app", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			repository, err := oci.Repository(c.address, false)
			check(t, err)
			got := ""
			if login := logins.For(repository); login != nil {
				got = login.Username.Reveal()
			}
			if got != c.want {
				t.Errorf("%s: login is %q, want %q", c.why, got, c.want)
			}
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"auths": {"ghcr.io": {"auth": "YTpi"}}}`))
	f.Add([]byte(`{"ghcr.io": {"auth": "canary"}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		logins, err := oci.ParseConfig(content)
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("the error shows the content: %v", err)
		}
		repository, parseErr := oci.Repository("oci://ghcr.io/org/app", false)
		check(t, parseErr)
		_ = logins.For(repository)
	})
}
