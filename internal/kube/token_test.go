package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// issuer is a server that gives tokens which say how many there were before.
type issuer struct {
	count int
	away  bool
	asked authenticationv1.TokenRequestSpec
	now   time.Time
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if i.away || r.URL.Path != "/api/v1/namespaces/web/serviceaccounts/remote/token" {
		http.Error(w, "nothing here", http.StatusServiceUnavailable)
		return
	}
	var request authenticationv1.TokenRequest
	_ = json.NewDecoder(r.Body).Decode(&request)
	i.asked = request.Spec
	i.count++
	request.Status = authenticationv1.TokenRequestStatus{Token: fmt.Sprintf("token-%d", i.count), ExpirationTimestamp: metav1.NewTime(i.now.Add(time.Hour))}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(request)
}

func tokensOf(t *testing.T, i *issuer) *Tokens {
	t.Helper()
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	home, err := Connect("", &rest.Config{Host: server.URL}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	tokens := home.NewTokens(Account{Namespace: "web", Name: "remote", Audiences: []string{"https://there:443"}})
	tokens.now = func() time.Time { return i.now }
	return tokens
}

// TestTokens: a token is asked for once, renewed before it expires, and used up where none can be had.
func TestTokens(t *testing.T) {
	i := &issuer{now: time.Unix(1_800_000_000, 0)}
	tokens := tokensOf(t, i)
	for _, step := range []struct {
		why, want string
		pass      time.Duration
		away      bool
	}{
		{why: "the first is asked for", want: "token-1"},
		{why: "it is kept", want: "token-1", pass: 40 * time.Minute},
		{why: "a server that is away costs nothing while the token is valid", want: "token-1", pass: 10 * time.Minute, away: true},
		{why: "it is renewed before it expires", want: "token-2"},
		{why: "an expired one is never used", want: "", pass: 2 * time.Hour, away: true},
	} {
		i.now, i.away = i.now.Add(step.pass), step.away
		got, err := tokens.Token(context.Background())
		if got.Reveal() != step.want || (err == nil) != (step.want != "") {
			t.Errorf("%s: got %s, %v", step.why, got.Reveal(), err)
		}
	}
	if len(i.asked.Audiences) != 1 || i.asked.Audiences[0] != "https://there:443" {
		t.Errorf("a token is for those it is meant for: %v", i.asked.Audiences)
	}
}

// TestBearer: requests carry the token, a refused one is replaced, and none leaves without TLS.
func TestBearer(t *testing.T) {
	i := &issuer{now: time.Now()}
	tokens := tokensOf(t, i)
	var plain []string
	open := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		plain = append(plain, r.Header.Get("Authorization"))
	}))
	defer open.Close()
	there := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/away":
			http.Redirect(w, r, open.URL, http.StatusFound)
		case r.Header.Get("Authorization") == "Bearer token-1":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_, _ = io.WriteString(w, r.Header.Get("Authorization"))
		}
	}))
	defer there.Close()
	client := there.Client()
	client.Transport = tokens.Wrap(client.Transport)
	get := func(path string) (int, string, error) {
		answer, err := client.Get(there.URL + path)
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body), err
	}
	if status, _, err := get("/"); status != http.StatusUnauthorized || err != nil {
		t.Errorf("the refusal is for the caller to see: %d, %v", status, err)
	}
	if _, body, err := get("/"); body != "Bearer token-2" || err != nil {
		t.Errorf("the next request has another token: %q, %v", body, err)
	}
	if _, _, err := get("/away"); err == nil || !strings.Contains(err.Error(), "not https") || len(plain) > 0 {
		t.Errorf("a redirect must not take the token out of TLS: %v, %q", err, plain)
	}
}
