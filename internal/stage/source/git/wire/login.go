package wire

import (
	"context"
	"net/http"
	"sync/atomic"

	"holdfast.dev/holdfast/internal/model/redact"
)

// Tokens are logins that change while their owner stays the same. Implementations are safe for
// concurrent use.
type Tokens interface {
	// Owner tells whose they are: a repository on the disk is shared by those with the same owner.
	Owner() redact.Text
	// Login returns one that is valid for a while.
	Login(ctx context.Context) (Login, error)
	// Refused is told of a secret that the remote does not take.
	Refused(secret redact.Text)
}

// Login is a user and their secret. Without a user the secret is a bearer token.
type Login struct{ User, Secret redact.Text }

// login puts credentials into requests of the remote's own origin.
type login struct {
	fixed  func(*http.Request)
	tokens Tokens // nil where credentials are fixed
	last   atomic.Pointer[redact.Text]
}

func (l *login) roundTrip(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	if l.tokens == nil {
		l.fixed(r)
		return next.RoundTrip(r)
	}
	found, err := l.tokens.Login(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	l.last.Store(&found.Secret)
	if found.User == "" {
		r.Header.Set("Authorization", "Bearer "+found.Secret.Reveal())
	} else {
		r.SetBasicAuth(found.User.Reveal(), found.Secret.Reveal())
	}
	response, err := next.RoundTrip(r)
	if err == nil && response.StatusCode == http.StatusUnauthorized {
		l.tokens.Refused(found.Secret)
	}
	return response, err
}

// secret is the one that was used last, which no message may show.
func (l *login) secret() string {
	if last := l.last.Load(); last != nil {
		return last.Reveal()
	}
	return ""
}
