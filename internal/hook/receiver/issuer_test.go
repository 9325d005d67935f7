package receiver_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"

	"holdfast.dev/holdfast/internal/hook/receiver"
)

// authority is an OIDC issuer on this machine.
type authority struct {
	server *httptest.Server
	key    *rsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": a.server.URL, "jwks_uri": a.server.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
	})
	a.server = httptest.NewServer(mux)
	t.Cleanup(a.server.Close)
	return a
}

// issue makes a token; claims overwrite those that every good token has.
func (a *authority) issue(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{
		"iss": a.server.URL, "aud": "notification-controller", "sub": "repo:octo/platform", "repository_owner": "octo",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
	for name, value := range claims {
		all[name] = value
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: a.key, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(all).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (a *authority) deps(d *receiver.Deps) {
	d.Issuers = receiver.NewIssuers(receiver.IssuerOptions{Client: http.DefaultClient, Google: a.server.URL})
}

func TestOIDC(t *testing.T) {
	t.Parallel()
	trusted, stranger := newAuthority(t), newAuthority(t)
	forged := func() string { // the trusted issuer's name with a stranger's signature
		parts := strings.Split(stranger.issue(t, map[string]any{"iss": trusted.server.URL}), ".")
		return strings.Join(parts, ".")
	}
	unsigned := func() string {
		encode := func(v any) string {
			raw, _ := json.Marshal(v)
			return base64.RawURLEncoding.EncodeToString(raw)
		}
		return encode(map[string]any{"alg": "none"}) + "." + encode(map[string]any{
			"iss": trusted.server.URL, "aud": "notification-controller", "repository_owner": "octo", "exp": time.Now().Add(time.Hour).Unix(),
		}) + "."
	}
	cases := map[string]struct {
		why, token string
		want       int
		says       string
	}{
		"Good":      {why: "issued for us, to whom we trust", token: trusted.issue(t, nil), want: 200},
		"Owner":     {why: "a good token of somebody else; the author's message is for the caller", token: trusted.issue(t, map[string]any{"repository_owner": "mallory"}), want: 400, says: "token validation failed: only octo may call"},
		"NoClaim":   {why: "a claim that is not there decides nothing", token: trusted.issue(t, map[string]any{"repository_owner": nil}), want: 400, says: "token validation failed: only octo may call"},
		"Audience":  {why: "issued for others", token: trusted.issue(t, map[string]any{"aud": "others"}), want: 400},
		"Expired":   {why: "too old", token: trusted.issue(t, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), want: 400},
		"Stranger":  {why: "an issuer that the receiver does not name", token: stranger.issue(t, nil), want: 400},
		"Forged":    {why: "signed by another", token: forged(), want: 400},
		"Unsigned":  {why: "signed by nobody", token: unsigned(), want: 400},
		"NoToken":   {why: "nothing", token: "", want: 400},
		"NotAToken": {why: "garbage", token: "a.b.c", want: 400},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ready("generic-oidc", func(r *notificationv1.Receiver) {
				r.Spec.SecretRef = nil
				r.Spec.ResourceFilter = `claims.repository_owner == "octo"`
				r.Spec.OIDCProviders = []notificationv1.OIDCProvider{{
					IssuerURL:   trusted.server.URL,
					Variables:   []notificationv1.OIDCVariable{{Name: "owner", Expression: `has(claims.repository_owner) ? claims.repository_owner : ""`}},
					Validations: []notificationv1.OIDCValidation{{Expression: `vars.owner == "octo"`, Message: "only octo may call"}},
				}}
			})
			b := newBench(r, trusted.deps)
			status, says := b.send("", map[string]string{"Authorization": "Bearer " + c.token})
			if status != c.want || strings.TrimSpace(says) != c.says {
				t.Errorf("%s: got %d %q, want %d %q\n%s", c.why, status, says, c.want, c.says, b.log.String())
			}
			if asked := len(b.shelf.all()) > 0; asked != (c.want == 200) {
				t.Errorf("%s: asked is %t", c.why, asked)
			}
		})
	}
}

// TestGoogle: Google signs tokens for anybody, so its signature alone means nothing (CVE-2026-40109).
func TestGoogle(t *testing.T) {
	t.Parallel()
	google := newAuthority(t)
	good := map[string]any{"aud": "https://hooks.example", "email": "pusher@example.iam", "email_verified": true}
	but := func(name string, value any) map[string]any {
		claims := map[string]any{}
		for key, value := range good {
			claims[key] = value
		}
		claims[name] = value
		return claims
	}
	body := `{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(`{"action":"INSERT","digest":"gcr.io/a/b@sha256:1","tag":"gcr.io/a/b:1"}`)) + `","messageId":"1"},"subscription":"projects/a/subscriptions/b"}`
	cases := map[string]struct {
		why    string
		claims map[string]any
		body   string
		want   int
	}{
		"Good":       {why: "the subscription's account, for us", claims: good, body: body, want: 200},
		"Email":      {why: "another account", claims: but("email", "mallory@example.iam"), body: body, want: 400},
		"Unverified": {why: "an account that nobody has verified", claims: but("email_verified", false), body: body, want: 400},
		"NoEmail":    {why: "no account", claims: but("email", nil), body: body, want: 400},
		"Audience":   {why: "for others", claims: but("aud", "https://others.example"), body: body, want: 400},
		"NoMessage":  {why: "what Pub/Sub does not send", claims: good, body: "hello", want: 400},
		"NoData":     {why: "what the registry does not send", claims: good, body: `{"message":{"data":"%%"}}`, want: 400},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(ready("gcr", func(r *notificationv1.Receiver) { r.Spec.ResourceFilter = `req.tag == "gcr.io/a/b:1"` }), google.deps)
			status, _ := b.send(c.body, map[string]string{"Authorization": "Bearer " + google.issue(t, c.claims)})
			if status != c.want {
				t.Errorf("%s: got %d, want %d\n%s", c.why, status, c.want, b.log.String())
			}
		})
	}
}

// TestIssuersAreNotOfThisMachine: a tenant names issuers, and must not reach through us what he cannot.
func TestIssuersAreNotOfThisMachine(t *testing.T) {
	t.Parallel()
	local := newAuthority(t)
	r := ready("generic-oidc", func(r *notificationv1.Receiver) {
		r.Spec.SecretRef = (*meta.LocalObjectReference)(nil)
		r.Spec.OIDCProviders = []notificationv1.OIDCProvider{{IssuerURL: local.server.URL, Validations: []notificationv1.OIDCValidation{{Expression: "true"}}}}
	})
	b := newBench(r)
	if status, _ := b.send("", map[string]string{"Authorization": "Bearer " + local.issue(t, nil)}); status != http.StatusBadRequest {
		t.Errorf("got %d", status)
	}
	if !strings.Contains(b.log.String(), "an issuer may not be there") {
		t.Errorf("the log does not say why:\n%s", b.log.String())
	}
}
