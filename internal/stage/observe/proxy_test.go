package observe_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

// proxy stands between the observer and the API server and does harm on demand.
type proxy struct {
	t       *testing.T
	address string
	server  *http.Server
	forward http.Handler
	closed  sync.WaitGroup

	lock     sync.Mutex
	watches  map[int]context.CancelFunc
	next     int
	requests int
	// meddle answers a request instead of the API server and returns true, or leaves it alone.
	meddle func(http.ResponseWriter, *http.Request) bool
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	config := clustertest.Start(t)
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, watches: map[int]context.CancelFunc{}}
	p.forward = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler: func(answer http.ResponseWriter, _ *http.Request, _ error) {
			answer.WriteHeader(http.StatusBadGateway)
		},
	}
	p.open("127.0.0.1:0")
	t.Cleanup(p.close)
	return p
}

func (p *proxy) config() *rest.Config { return &rest.Config{Host: "http://" + p.address} }

func (p *proxy) open(address string) {
	p.t.Helper()
	var listener net.Listener
	var err error
	eventually.Within(p.t, patience, "the address is free", func() bool {
		listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		return err == nil
	})
	p.address = listener.Addr().String()
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	server := p.server
	p.closed.Go(func() { _ = server.Serve(listener) })
}

func (p *proxy) close() {
	_ = p.server.Close()
	p.closed.Wait()
}

// reopen listens where it did before.
func (p *proxy) reopen() { p.open(p.address) }

// ServeHTTP implements http.Handler.
func (p *proxy) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	p.lock.Lock()
	p.requests++
	meddle := p.meddle
	p.lock.Unlock()
	if meddle != nil && meddle(answer, request) {
		return
	}
	if request.URL.Query().Get("watch") == "true" {
		ctx, cancel := context.WithCancel(request.Context())
		p.lock.Lock()
		id := p.next
		p.next++
		p.watches[id] = cancel
		p.lock.Unlock()
		defer func() {
			p.lock.Lock()
			delete(p.watches, id)
			p.lock.Unlock()
			cancel()
			_ = recover() // the reverse proxy panics when it has to break off an answer
		}()
		request = request.WithContext(ctx)
	}
	p.forward.ServeHTTP(answer, request)
}

// cut ends all watches, as a server does that goes away.
func (p *proxy) cut() {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, cancel := range p.watches {
		cancel()
	}
}

func (p *proxy) set(meddle func(http.ResponseWriter, *http.Request) bool) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.meddle = meddle
}

func (p *proxy) count() int {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.requests
}

// refuse answers with a Status, as the API server does.
func refuse(code int, reason string) func(http.ResponseWriter, *http.Request) bool {
	return func(answer http.ResponseWriter, _ *http.Request) bool {
		answer.Header().Set("Content-Type", "application/json")
		answer.WriteHeader(code)
		_, _ = fmt.Fprint(answer, status(code, reason))
		return true
	}
}

func status(code int, reason string) string {
	return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"by the test","reason":%q,"code":%d}`, reason, code)
}
