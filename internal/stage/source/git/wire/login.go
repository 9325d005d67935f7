package wire

import (
	"context"
	"net/http"
	"sync/atomic"

	"holdfast.dev/holdfast/internal/model/redact"
)

// Tokens are passwords that change while their owner stays the same. Implementations are safe for
// concurrent use.
type Tokens interface {
	// Owner tells whose they are: a repository on the disk is shared by those with the same owner.
	Owner() redact.Text
	// Token returns one that is valid for a while.
	Token(ctx context.Context) (redact.Text, error)
	// Refused is told of a token that the remote does not take.
	Refused(token redact.Text)
}

// login puts credentials into requests of the remote's own origin.
type login struct {
	fixed    func(*http.Request)
	username redact.Text
	tokens   Tokens // nil where credentials are fixed
	last     atomic.Pointer[redact.Text]
}

func (l *login) roundTrip(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	if l.tokens == nil {
		l.fixed(r)
		return next.RoundTrip(r)
	}
	token, err := l.tokens.Token(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	l.last.Store(&token)
	r.SetBasicAuth(l.username.Reveal(), token.Reveal())
	response, err := next.RoundTrip(r)
	if err == nil && response.StatusCode == http.StatusUnauthorized {
		l.tokens.Refused(token)
	}
	return response, err
}

// secret is the token that was used last, which no message may show.
func (l *login) secret() string {
	if last := l.last.Load(); last != nil {
		return last.Reveal()
	}
	return ""
}
