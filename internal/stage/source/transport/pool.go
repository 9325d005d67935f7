package transport

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Pool keeps Transports, so that the next look at a remote finds its connections open. It is safe for
// concurrent use.
type Pool struct {
	// Proxy chooses a proxy for remotes whose Options name none; nil means none.
	Proxy func(*http.Request) (*url.URL, error)

	mu   sync.Mutex
	kept map[string]*entry
}

type entry struct {
	transport *Transport
	used      time.Time
}

// mostKept is how many Transports a Pool keeps. One is a hash and two empty pools of connections where it is
// not in use, so there may be many.
const mostKept = 256

// Get returns the Transport for Options. Equal Options share one.
func (p *Pool) Get(options Options) (*Transport, error) {
	key := options.Key()
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.kept[key]; known != nil {
		known.used = time.Now()
		return known.transport, nil
	}
	made, err := newTransport(options, p.Proxy)
	if err != nil {
		return nil, err
	}
	if p.kept == nil {
		p.kept = map[string]*entry{}
	}
	if len(p.kept) >= mostKept {
		p.dropOldest()
	}
	p.kept[key] = &entry{made, time.Now()}
	return made, nil
}

// dropOldest forgets the Transport that was asked for least lately. Requests that use it go on.
func (p *Pool) dropOldest() {
	var oldest string
	var since time.Time
	for key, known := range p.kept {
		if since.IsZero() || known.used.Before(since) {
			oldest, since = key, known.used
		}
	}
	p.kept[oldest].transport.CloseIdleConnections()
	delete(p.kept, oldest)
}

// Key is a digest of everything that makes two ways to a remote different.
func (o Options) Key() string {
	hash := sha256.New()
	for _, part := range []string{
		o.Host, string(o.Certificates.Authority), string(o.Certificates.Client), string(o.Certificates.Key.Reveal()),
		o.Proxy.URL, o.Proxy.Username.Reveal(), o.Proxy.Password.Reveal(),
		fmt.Sprint(o.SystemRoots, o.Plain, o.Unverified),
	} {
		_, _ = fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return string(hash.Sum(nil))
}
