package githubapp

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"holdfast.dev/holdfast/internal/model/redact"
)

const (
	// patience bounds one request to GitHub.
	patience = 30 * time.Second
	// mostAnswer bounds an answer of GitHub's.
	mostAnswer = 1 << 20
)

// client makes an HTTP client for an App. It follows no redirect: the claim is for one address.
func (a *Apps) client(app App) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(app.CA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(app.CA) {
			return nil, errors.New("key ca.crt holds no certificate in PEM")
		}
	}
	transport := &http.Transport{Proxy: a.Proxy, TLSClientConfig: config, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: patience}
	if app.Proxy != nil {
		transport.Proxy = http.ProxyURL(app.Proxy)
	}
	return &http.Client{
		Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// request asks GitHub for a token of the installation.
func (t *Tokens) request(ctx context.Context) (redact.Text, time.Time, error) {
	installation := t.app.installation
	if installation == 0 {
		var err error
		if installation, err = t.find(ctx); err != nil {
			return "", time.Time{}, err
		}
	}
	var answer struct {
		Token   string    `json:"token"`
		Expires time.Time `json:"expires_at"`
	}
	status, err := t.send(ctx, http.MethodPost, fmt.Sprintf("/app/installations/%d/access_tokens", installation), &answer)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("requesting a token of %s: %w", t.app.name(), err)
	}
	switch {
	case status == http.StatusNotFound:
		return "", time.Time{}, fmt.Errorf("requesting a token of %s: it has no installation %d", t.app.name(), installation)
	case status != http.StatusCreated:
		return "", time.Time{}, fmt.Errorf("requesting a token of %s: %w", t.app.name(), refusal(status))
	case answer.Token == "" || !answer.Expires.After(t.now()):
		return "", time.Time{}, fmt.Errorf("requesting a token of %s: the answer holds no valid one", t.app.name())
	}
	return redact.Text(answer.Token), answer.Expires, nil
}

// find looks for the installation of an owner, which may be an organization or a user.
func (t *Tokens) find(ctx context.Context) (int64, error) {
	for _, kind := range []string{"orgs", "users"} {
		var answer struct {
			ID int64 `json:"id"`
		}
		status, err := t.send(ctx, http.MethodGet, "/"+kind+"/"+url.PathEscape(t.app.owner)+"/installation", &answer)
		if err == nil && status != http.StatusOK && status != http.StatusNotFound {
			err = refusal(status)
		}
		if err != nil {
			return 0, fmt.Errorf("finding the installation of %s at %q: %w", t.app.name(), t.app.owner, err)
		}
		if status == http.StatusOK && answer.ID > 0 {
			return answer.ID, nil
		}
	}
	return 0, fmt.Errorf("finding the installation of %s: %q is no organization and no user that it is installed for", t.app.name(), t.app.owner)
}

// refusal explains a status. The answer's own text stays unread: it may repeat what we sent.
func refusal(status int) error {
	switch status {
	case http.StatusUnauthorized:
		return fmt.Errorf("GitHub answers 401: %s and %s do not belong together, or our clock is wrong", KeyID, KeyPrivateKey)
	case http.StatusForbidden:
		return errors.New("GitHub answers 403: the installation is suspended, or the App asks too often")
	default:
		return fmt.Errorf("GitHub answers %d %s", status, http.StatusText(status))
	}
}

// send makes a request as the App and decodes the answer of a success.
func (t *Tokens) send(ctx context.Context, method, path string, answer any) (status int, err error) {
	claim, err := t.app.claim(t.now())
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, method, t.app.api+path, nil)
	if err != nil {
		return 0, errors.New("its address is malformed")
	}
	request.Header.Set("Authorization", "Bearer "+claim.Reveal())
	request.Header.Set("Accept", "application/vnd.github+json")
	request.Header.Set("User-Agent", "holdfast")
	response, err := t.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusMultipleChoices {
		return response.StatusCode, nil
	}
	if json.NewDecoder(io.LimitReader(response.Body, mostAnswer)).Decode(answer) != nil {
		return 0, errors.New("the answer is not what GitHub answers")
	}
	return response.StatusCode, nil
}

// claim is a JSON web token by which the App proves who it is. GitHub wants whole seconds, at most ten
// minutes of life, and a beginning that its own clock has passed.
func (a App) claim(now time.Time) (redact.Text, error) {
	body, err := json.Marshal(map[string]any{"iss": fmt.Sprint(a.id), "iat": now.Add(-30 * time.Second).Unix(), "exp": now.Add(2 * time.Minute).Unix()})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, a.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", errors.New("signing with " + KeyPrivateKey + " is not possible: the key is too small")
	}
	return redact.Text(text + "." + base64.RawURLEncoding.EncodeToString(signature)), nil
}
