package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/model/redact"
)

// Account is a service account of a cluster, and whom its tokens are meant for.
type Account struct {
	Namespace, Name string
	// Audiences are who may accept a token; at least one. A token for another cluster must name none of
	// our own, so that the other cannot use it here.
	Audiences []string
}

// tokenLife is what we ask for; the server may give less, or more.
const tokenLife = time.Hour

// Tokens makes tokens of one account and keeps the newest until shortly before it expires. It is safe
// for concurrent use.
type Tokens struct {
	from    *Cluster
	account Account
	now     func() time.Time

	turn    chan struct{} // holds one value while somebody asks the server
	lock    sync.Mutex
	token   redact.Text
	renew   time.Time
	expires time.Time
}

// NewTokens returns the tokens of an account. No request is sent yet.
func (c *Cluster) NewTokens(account Account) *Tokens {
	return &Tokens{from: c, account: account, now: time.Now, turn: make(chan struct{}, 1)}
}

// Token returns a token that is valid for a while. Where a new one cannot be had, the one before is
// returned as long as it is valid.
func (t *Tokens) Token(ctx context.Context) (redact.Text, error) {
	if token, fresh := t.known(); fresh {
		return token, nil
	}
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	token, fresh := t.known() // somebody else may have asked meanwhile
	if fresh {
		return token, nil
	}
	answer, err := t.from.requestToken(ctx, t.account)
	if err != nil {
		if token != "" {
			return token, nil
		}
		return "", err
	}
	t.keep(answer)
	return redact.Text(answer.Token), nil
}

// known returns the token that we have, if it is valid, and whether it need not be renewed yet.
func (t *Tokens) known() (token redact.Text, fresh bool) {
	t.lock.Lock()
	defer t.lock.Unlock()
	now := t.now()
	if t.token == "" || !now.Before(t.expires) {
		return "", false
	}
	return t.token, now.Before(t.renew)
}

// keep takes over a new token, which is renewed when a fifth of its life is left.
func (t *Tokens) keep(answer authenticationv1.TokenRequestStatus) {
	t.lock.Lock()
	defer t.lock.Unlock()
	now := t.now()
	life := answer.ExpirationTimestamp.Sub(now)
	t.token, t.expires, t.renew = redact.Text(answer.Token), answer.ExpirationTimestamp.Time, now.Add(life*4/5)
}

// refused forgets a token that the other side does not take, so that the next request brings another.
func (t *Tokens) refused(token redact.Text) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.token == token {
		t.token = ""
	}
}

// Wrap authorizes requests with the tokens; it is made for rest.Config.
func (t *Tokens) Wrap(next http.RoundTripper) http.RoundTripper {
	return &bearer{tokens: t, next: next}
}

type bearer struct {
	tokens *Tokens
	next   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b *bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := b.tokens.Token(request.Context())
	if err == nil && request.URL.Scheme != "https" { // a redirect may lead anywhere
		err = errors.New("sending a token: the address is not https")
	}
	if err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	answer, err := b.next.RoundTrip(request)
	if err == nil && answer.StatusCode == http.StatusUnauthorized {
		b.tokens.refused(token)
	}
	return answer, err
}

// requestToken asks the server for a token of an account.
func (c *Cluster) requestToken(ctx context.Context, account Account) (authenticationv1.TokenRequestStatus, error) {
	var none authenticationv1.TokenRequestStatus
	seconds := int64(tokenLife / time.Second)
	wish, err := encode(&authenticationv1.TokenRequest{
		TypeMeta: metav1.TypeMeta{APIVersion: authenticationv1.SchemeGroupVersion.String(), Kind: "TokenRequest"},
		Spec:     authenticationv1.TokenRequestSpec{Audiences: account.Audiences, ExpirationSeconds: &seconds},
	})
	if err != nil {
		return none, err
	}
	leave, err := c.enter(ctx)
	if err != nil {
		return none, err
	}
	defer leave()
	result := c.rest.Post().AbsPath("/api/v1/namespaces", account.Namespace, "serviceaccounts", account.Name, "token").
		SetHeader("Content-Type", "application/json").Body(wish).Do(ctx)
	raw, err := result.Raw()
	if err != nil {
		err = result.Error() // Raw's own error does not say what the server did
		return none, fmt.Errorf("requesting a token of ServiceAccount %s/%s: %w", account.Namespace, account.Name, err)
	}
	var answer authenticationv1.TokenRequest
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Status.Token == "" { // the cause could quote the token
		return none, fmt.Errorf("requesting a token of ServiceAccount %s/%s: the server's answer holds none", account.Namespace, account.Name)
	}
	return answer.Status, nil
}

// ReadAccount reads a service account. A missing one is an error for which apierrors.IsNotFound holds.
func (c *Cluster) ReadAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	if segments := path.IsValidPathSegmentName(name); len(segments) > 0 {
		return nil, fmt.Errorf("reading ServiceAccount %s/%q: its name is not one", namespace, name)
	}
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	result := c.rest.Get().AbsPath("/api/v1/namespaces", namespace, "serviceaccounts", name).Do(ctx)
	raw, err := result.Raw()
	if err != nil {
		return nil, result.Error() // Raw's own error does not say what the server did
	}
	var account corev1.ServiceAccount
	if err := json.Unmarshal(raw, &account); err != nil {
		return nil, fmt.Errorf("reading ServiceAccount %s/%s: the server's answer cannot be read", namespace, name)
	}
	return &account, nil
}
