package githubapp

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"holdfast.dev/holdfast/internal/model/redact"
)

// The keys of a Secret, as Flux names them.
const (
	KeyID           = "githubAppID"
	KeyOwner        = "githubAppInstallationOwner"
	KeyInstallation = "githubAppInstallationID"
	KeyPrivateKey   = "githubAppPrivateKey"
	KeyBaseURL      = "githubAppBaseURL"
)

// Username is who an installation's token belongs to.
const Username = "x-access-token"

// publicAPI is where the App of a Secret without an address is at home.
const publicAPI = "https://api.github.com"

// App says which installation of which App, and how to get to it.
type App struct {
	id           int64
	installation int64  // 0 where the owner is named
	owner        string // an organization or a user
	key          *rsa.PrivateKey
	api          string
	// CA, in PEM, replaces the system's roots.
	CA []byte
	// Proxy is the address of a proxy, with its credentials; nil for the one of all.
	Proxy *url.URL
	// digest tells Apps apart: it covers the private key, too.
	digest string
}

// Parse reads the keys of a Secret.
func Parse(data map[string][]byte) (App, error) {
	app := App{api: publicAPI, owner: string(data[KeyOwner]), CA: data["ca.crt"]}
	var err error
	if app.id, err = number(data, KeyID); err != nil {
		return App{}, err
	}
	_, byNumber := data[KeyInstallation]
	switch {
	case byNumber && app.owner != "":
		return App{}, fmt.Errorf("keys %s and %s exclude each other", KeyInstallation, KeyOwner)
	case app.owner == "":
		if !byNumber {
			return App{}, fmt.Errorf("key %s or %s is missing", KeyInstallation, KeyOwner)
		}
		if app.installation, err = number(data, KeyInstallation); err != nil {
			return App{}, err
		}
	}
	if app.key, err = parseKey(data[KeyPrivateKey]); err != nil {
		return App{}, err
	}
	if text := strings.TrimSuffix(string(data[KeyBaseURL]), "/"); text != "" {
		parsed, err := url.Parse(text)
		if err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
			return App{}, fmt.Errorf("key %s is not an address of the form https://host/path", KeyBaseURL)
		}
		app.api = text
	}
	hash := sha256.New()
	for _, key := range []string{KeyID, KeyOwner, KeyInstallation, KeyPrivateKey, KeyBaseURL, "ca.crt"} {
		_, _ = fmt.Fprintf(hash, "%d:", len(data[key]))
		_, _ = hash.Write(data[key])
	}
	app.digest = hex.EncodeToString(hash.Sum(nil))
	return app, nil
}

// name is what messages call the App.
func (a App) name() string { return "GitHub App " + strconv.FormatInt(a.id, 10) }

// identity is the digest of all that makes two Apps the same.
func (a App) identity() redact.Text {
	way := ""
	if a.Proxy != nil {
		way = a.Proxy.String()
	}
	sum := sha256.Sum256([]byte(a.digest + "\n" + way))
	return redact.Text(hex.EncodeToString(sum[:]))
}

func number(data map[string][]byte, key string) (int64, error) {
	text, found := data[key]
	if !found {
		return 0, fmt.Errorf("key %s is missing", key)
	}
	parsed, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || parsed <= 0 {
		return 0, fmt.Errorf("key %s is not a number", key)
	}
	return parsed, nil
}

// parseKey reads an RSA key. Its parser's errors may quote what they read, so none is passed on.
func parseKey(text []byte) (*rsa.PrivateKey, error) {
	if len(text) == 0 {
		return nil, fmt.Errorf("key %s is missing", KeyPrivateKey)
	}
	bad := errors.New("key " + KeyPrivateKey + " is not an RSA private key in PEM, as GitHub gives it")
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, bad
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, bad
	}
	if key, ok := parsed.(*rsa.PrivateKey); ok {
		return key, nil
	}
	return nil, bad
}
