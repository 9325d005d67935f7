package source

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/stage/source/transport"
)

func TestProxyOf(t *testing.T) {
	cases := map[string]struct {
		why  string
		data map[string]string
		want transport.Proxy
		err  string
	}{
		"Plain":     {why: "no credentials", data: map[string]string{"address": "http://proxy:3128"}, want: transport.Proxy{URL: "http://proxy:3128"}},
		"Keys":      {why: "credentials beside the address", data: map[string]string{"address": "socks5://proxy:1080", "username": "u", "password": "p"}, want: transport.Proxy{URL: "socks5://proxy:1080", Username: "u", Password: "p"}},
		"InAddress": {why: "credentials in the address", data: map[string]string{"address": "http://u:p@proxy"}, want: transport.Proxy{URL: "http://proxy", Username: "u", Password: "p"}},
		"Missing":   {why: "the one key that must be there", data: map[string]string{"username": "u"}, err: "address is missing"},
		"Scheme":    {why: "nothing else is a proxy", data: map[string]string{"address": "ftp://u:canary@proxy"}, err: "none of http, https, socks5"},
		"Garbage":   {why: "the error must not repeat a password", data: map[string]string{"address": "u:canary@proxy:1"}, err: "not an address"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			data := map[string][]byte{}
			for key, value := range c.data {
				data[key] = []byte(value)
			}
			got, err := proxyOf(data)
			if (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "canary")) {
				t.Fatalf("%s: error is %v, want %q", c.why, err, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}
