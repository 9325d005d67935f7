package transport_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/stage/source/transport"
)

func TestOnlyHTTPSWhereNothingElseIsAllowed(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(server.URL, http.StatusFound))
	defer secure.Close()
	cases := map[string]struct {
		why     string
		options transport.Options
		address string
		want    string // of the error; empty is an answer
	}{
		"Plain":      {"a registry on a laptop", transport.Options{Plain: true}, server.URL, ""},
		"NotAllowed": {"the spec does not say insecure", transport.Options{}, server.URL, "only https"},
		"Redirect":   {"a redirect must not make it plain", transport.Options{Unverified: true}, secure.URL, "only https"},
		"Unknown":    {"the authority is checked", transport.Options{}, secure.URL, "certificate"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			pool := &transport.Pool{}
			carrier, err := pool.Get(c.options)
			if err != nil {
				t.Fatal(err)
			}
			response, err := (&http.Client{Transport: carrier}).Get(c.address)
			if err == nil {
				_ = response.Body.Close()
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error is %v, want %q", c.why, err, c.want)
			}
		})
	}
}

func TestPoolSharesWhatIsEqual(t *testing.T) {
	pool := &transport.Pool{}
	get := func(options transport.Options) *transport.Transport {
		t.Helper()
		carrier, err := pool.Get(options)
		if err != nil {
			t.Fatal(err)
		}
		return carrier
	}
	first := get(transport.Options{Host: "a"})
	if get(transport.Options{Host: "a"}) != first {
		t.Error("equal options have two transports")
	}
	if get(transport.Options{Host: "a", Proxy: transport.Proxy{URL: "http://p", Password: "x"}}) == first {
		t.Error("another proxy has the same transport")
	}
	if _, err := pool.Get(transport.Options{Certificates: transport.Certificates{Client: []byte("x")}}); err == nil {
		t.Error("a certificate without its key is accepted")
	}
}
