package githubapp

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/source/git/wire"
)

// spare is how long before its end a token is renewed: a fetch that begins with it must not outlive it.
const spare = 10 * time.Minute

// mostApps bounds how many Apps are remembered. More are asked for again.
const mostApps = 1024

// Apps remembers the tokens of Apps. It is safe for concurrent use.
type Apps struct {
	// Proxy chooses a proxy for Apps without one; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	lock sync.Mutex
	all  map[redact.Text]*Tokens
}

// Of returns the tokens of an App, the same for all that name the same App.
func (a *Apps) Of(app App) (*Tokens, error) {
	id := app.identity()
	a.lock.Lock()
	defer a.lock.Unlock()
	if found := a.all[id]; found != nil {
		return found, nil
	}
	client, err := a.client(app)
	if err != nil {
		return nil, err
	}
	if a.all == nil || len(a.all) >= mostApps {
		a.all = map[redact.Text]*Tokens{}
	}
	now := a.Now
	if now == nil {
		now = time.Now
	}
	made := &Tokens{app: app, id: id, client: client, now: now, turn: make(chan struct{}, 1)}
	a.all[id] = made
	return made, nil
}

// Tokens are the tokens of one installation of one App. It is safe for concurrent use.
type Tokens struct {
	app    App
	id     redact.Text
	client *http.Client
	now    func() time.Time

	turn    chan struct{} // holds one value while somebody asks GitHub
	lock    sync.Mutex
	token   redact.Text
	expires time.Time
}

// Owner tells whose tokens these are; it stays the same when the token changes.
func (t *Tokens) Owner() redact.Text { return t.id }

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
		return "", context.Cause(ctx)
	}
	token, fresh := t.known() // somebody else may have asked meanwhile
	if fresh {
		return token, nil
	}
	latest, expires, err := t.request(ctx)
	if err != nil {
		if token != "" {
			return token, nil
		}
		return "", err
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	t.token, t.expires = latest, expires
	return latest, nil
}

// Login returns a token with the user that it goes with.
func (t *Tokens) Login(ctx context.Context) (wire.Login, error) {
	token, err := t.Token(ctx)
	return wire.Login{User: Username, Secret: token}, err
}

// Refused forgets a token that a server does not take, so that the next request brings another.
func (t *Tokens) Refused(token redact.Text) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.token == token {
		t.token = ""
	}
}

// known returns the token that we have, if it is valid, and whether it need not be renewed yet.
func (t *Tokens) known() (token redact.Text, fresh bool) {
	t.lock.Lock()
	defer t.lock.Unlock()
	left := t.expires.Sub(t.now())
	if t.token == "" || left <= 0 {
		return "", false
	}
	return t.token, left > spare
}
