package githubapp_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/stage/source/git/githubapp"
)

// hub is what GitHub does for Apps: it knows App 7, installed as 42 for the user "octo".
type hub struct {
	t      *testing.T
	key    *rsa.PrivateKey
	server *httptest.Server
	now    time.Time
	tokens int
	paths  []string
	status int // answers every request, where it is not 0
}

func newHub(t *testing.T) *hub {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, key: key, now: time.Now()}
	h.server = httptest.NewTLSServer(h)
	t.Cleanup(h.server.Close)
	return h
}

// secret is a Secret with the App.
func (h *hub) secret(more map[string]string) map[string][]byte {
	data := map[string][]byte{
		githubapp.KeyID: []byte("7"), githubapp.KeyInstallation: []byte("42"), githubapp.KeyBaseURL: []byte(h.server.URL + "/api/v3/"),
		githubapp.KeyPrivateKey: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(h.key)}),
		"ca.crt":                pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw}),
	}
	for key, value := range more {
		if data[key] = []byte(value); value == "" {
			delete(data, key)
		}
	}
	return data
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.paths = append(h.paths, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v3"))
	w.Header().Set("Content-Type", "application/json")
	switch {
	case h.status != 0:
		w.Header().Set("Location", "https://elsewhere.invalid/")
		w.WriteHeader(h.status)
	case !h.proves(r.Header.Get("Authorization")):
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodGet && r.URL.Path == "/api/v3/users/octo/installation":
		_, _ = fmt.Fprint(w, `{"id": 42}`)
	case r.Method == http.MethodPost && r.URL.Path == "/api/v3/app/installations/42/access_tokens":
		h.tokens++
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"token": fmt.Sprintf("ghs_token%d", h.tokens), "expires_at": h.now.Add(time.Hour)})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// proves checks a claim as GitHub does.
func (h *hub) proves(header string) bool {
	parts := strings.Split(strings.TrimPrefix(header, "Bearer "), ".")
	if len(parts) != 3 {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	head, _ := base64.RawURLEncoding.DecodeString(parts[0])
	body, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claim struct {
		Issuer  string `json:"iss"`
		Issued  int64  `json:"iat"`
		Expires int64  `json:"exp"`
	}
	return string(head) == `{"alg":"RS256","typ":"JWT"}` && rsa.VerifyPKCS1v15(&h.key.PublicKey, crypto.SHA256, sum[:], signature) == nil &&
		json.Unmarshal(body, &claim) == nil && claim.Issuer == "7" &&
		claim.Issued <= h.now.Unix() && claim.Expires > h.now.Unix() && claim.Expires-claim.Issued <= 600
}

func (h *hub) tokensOf(data map[string][]byte, apps *githubapp.Apps) *githubapp.Tokens {
	h.t.Helper()
	app, err := githubapp.Parse(data)
	if err != nil {
		h.t.Fatal(err)
	}
	tokens, err := apps.Of(app)
	if err != nil {
		h.t.Fatal(err)
	}
	return tokens
}

// TestToken: a token is asked for once, is renewed before it ends, and a refused one is replaced.
func TestToken(t *testing.T) {
	h := newHub(t)
	apps := &githubapp.Apps{Now: func() time.Time { return h.now }}
	tokens := h.tokensOf(h.secret(nil), apps)
	if again := h.tokensOf(h.secret(nil), apps); again != tokens {
		t.Error("sources with the same App share its tokens")
	}
	if other := h.tokensOf(h.secret(map[string]string{githubapp.KeyInstallation: "43"}), apps); other == tokens || other.Owner() == tokens.Owner() {
		t.Error("another installation has tokens of its own")
	}
	refuse := func() { tokens.Refused("ghs_token2") }
	for _, step := range []struct {
		why, want string
		pass      time.Duration
		status    int
		before    func()
	}{
		{why: "the first is asked for", want: "ghs_token1"},
		{why: "it is kept", want: "ghs_token1", pass: 40 * time.Minute},
		{why: "while GitHub is away, what is valid is used", want: "ghs_token1", pass: 15 * time.Minute, status: 503},
		{why: "it is renewed before it ends", want: "ghs_token2"},
		{why: "a refused one is not used again", want: "ghs_token3", before: refuse},
		{why: "an expired one is never used", want: "", pass: 2 * time.Hour, status: 503},
	} {
		h.now, h.status = h.now.Add(step.pass), step.status
		if step.before != nil {
			step.before()
		}
		got, err := tokens.Token(context.Background())
		if got.Reveal() != step.want || (err == nil) != (step.want != "") {
			t.Errorf("%s: got %q, %v", step.why, got.Reveal(), err)
		}
	}
}

// TestOwner: an installation is found by its owner, who may be a user.
func TestOwner(t *testing.T) {
	h := newHub(t)
	apps := &githubapp.Apps{}
	got, err := h.tokensOf(h.secret(map[string]string{githubapp.KeyInstallation: "", githubapp.KeyOwner: "octo"}), apps).Token(context.Background())
	want := "GET /orgs/octo/installation, GET /users/octo/installation, POST /app/installations/42/access_tokens"
	if err != nil || got.Reveal() != "ghs_token1" || strings.Join(h.paths, ", ") != want {
		t.Errorf("%q, %v, asked for %v", got.Reveal(), err, h.paths)
	}
	_, err = h.tokensOf(h.secret(map[string]string{githubapp.KeyInstallation: "", githubapp.KeyOwner: "nobody"}), apps).Token(context.Background())
	if err == nil || !strings.Contains(err.Error(), `"nobody" is no organization and no user that it is installed for`) {
		t.Errorf("a missing installation is told: %v", err)
	}
}

// TestRefusals: what GitHub says is explained, and neither key nor claim is repeated.
func TestRefusals(t *testing.T) {
	h := newHub(t)
	stranger := newHub(t).secret(nil)[githubapp.KeyPrivateKey]
	cases := map[string]struct {
		why     string
		more    map[string]string
		status  int
		wantErr string
	}{
		"Key":          {why: "the key of another App", more: map[string]string{githubapp.KeyPrivateKey: string(stranger)}, wantErr: "do not belong together"},
		"Installation": {why: "a typing error", more: map[string]string{githubapp.KeyInstallation: "41"}, wantErr: "it has no installation 41"},
		"Suspended":    {why: "somebody suspended the App", status: 403, wantErr: "GitHub answers 403"},
		"Redirect":     {why: "the claim must not go anywhere else", status: 307, wantErr: "GitHub answers 307"},
		"Authority":    {why: "without its authority the server could be anybody", more: map[string]string{"ca.crt": ""}, wantErr: "certificate"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h.status = tc.status
			_, err := h.tokensOf(h.secret(tc.more), &githubapp.Apps{}).Token(context.Background())
			if err == nil || !strings.Contains(err.Error(), tc.wantErr) || !strings.Contains(err.Error(), "GitHub App 7") || strings.Contains(err.Error(), "eyJ") {
				t.Errorf("%s: %v, want %q", tc.why, err, tc.wantErr)
			}
		})
	}
}

func TestParse(t *testing.T) {
	h := newHub(t)
	eight, _ := x509.MarshalPKCS8PrivateKey(h.key)
	cases := map[string]struct {
		why     string
		more    map[string]string
		wantErr string
	}{
		"Whole":    {why: "this is what people have"},
		"PKCS8":    {why: "tools convert keys", more: map[string]string{githubapp.KeyPrivateKey: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: eight}))}},
		"Newline":  {why: "files end with one", more: map[string]string{githubapp.KeyID: "7\n"}},
		"NoID":     {why: "who asks?", more: map[string]string{githubapp.KeyID: ""}, wantErr: "key githubAppID is missing"},
		"Name":     {why: "the name is not the number", more: map[string]string{githubapp.KeyID: "holdfast"}, wantErr: "key githubAppID is not a number"},
		"Neither":  {why: "an App has many installations", more: map[string]string{githubapp.KeyInstallation: ""}, wantErr: "githubAppInstallationID or githubAppInstallationOwner is missing"},
		"Both":     {why: "they could disagree", more: map[string]string{githubapp.KeyOwner: "octo"}, wantErr: "exclude each other"},
		"NoKey":    {why: "nothing to sign with", more: map[string]string{githubapp.KeyPrivateKey: ""}, wantErr: "key githubAppPrivateKey is missing"},
		"Garbage":  {why: "the content of a key is never repeated", more: map[string]string{githubapp.KeyPrivateKey: "sesame"}, wantErr: "is not an RSA private key"},
		"Plain":    {why: "anybody on the way could read the token", more: map[string]string{githubapp.KeyBaseURL: "http://hub"}, wantErr: "not an address of the form https"},
		"Password": {why: "it would show in messages", more: map[string]string{githubapp.KeyBaseURL: "https://me:sesame@hub"}, wantErr: "not an address of the form https"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := githubapp.Parse(h.secret(tc.more))
			switch {
			case tc.wantErr == "" && err != nil:
				t.Errorf("%s: %v", tc.why, err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr) || strings.Contains(err.Error(), "sesame")):
				t.Errorf("%s: %v, want %q", tc.why, err, tc.wantErr)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("7", "42", "", "https://hub/api/v3", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")
	f.Fuzz(func(t *testing.T, id, installation, owner, base, key string) {
		data := map[string][]byte{githubapp.KeyID: []byte(id), githubapp.KeyInstallation: []byte(installation), githubapp.KeyBaseURL: []byte(base), githubapp.KeyPrivateKey: []byte(key)}
		if owner != "" {
			maps.Copy(data, map[string][]byte{githubapp.KeyOwner: []byte(owner)})
		}
		if _, err := githubapp.Parse(data); err != nil && len(key) > 40 && strings.Contains(err.Error(), key) {
			t.Errorf("the key is repeated: %v", err)
		}
	})
}
