package operator_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// traffic records what a daemon sends, by namespace, and can answer in the server's place.
type traffic struct {
	mu     sync.Mutex
	seen   map[string][]request
	faults map[string]func(request) (*http.Response, error)
}

// request is one request about objects in a namespace; watches and lists are left out.
type request struct {
	Method, Path string // the path begins behind the namespace
	DryRun       bool
	User         string // impersonated
	Type         string // of the body
	At           time.Time
}

// String writes a request in short.
func (r request) String() string {
	verb := r.Method
	switch {
	case r.DryRun:
		verb = "DRY-RUN"
	case r.Type == "application/apply-patch+yaml":
		verb = "APPLY"
	}
	return verb + " " + r.Path
}

// writes tells whether the request changes anything.
func (r request) writes() bool { return r.Method != http.MethodGet && !r.DryRun }

// errLost is the fault of a request that was served, and whose answer got lost.
var errLost = errors.New("read: the answer got lost")

func newTraffic() *traffic {
	return &traffic{seen: map[string][]request{}, faults: map[string]func(request) (*http.Response, error){}}
}

func (t *traffic) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		namespace, one, counts := read1(r)
		if !counts {
			return next.RoundTrip(r)
		}
		one.At = time.Now()
		t.mu.Lock()
		t.seen[namespace] = append(t.seen[namespace], one)
		fault := t.faults[namespace]
		t.mu.Unlock()
		if fault != nil {
			answer, err := fault(one)
			if errors.Is(err, errLost) {
				if lost, failed := next.RoundTrip(r); failed == nil {
					_ = lost.Body.Close()
				}
				return nil, err
			}
			if answer != nil || err != nil {
				if r.Body != nil {
					_ = r.Body.Close()
				}
				return answer, err
			}
		}
		return next.RoundTrip(r)
	})
}

// read1 tells what a request is about.
func read1(r *http.Request) (namespace string, one request, counts bool) {
	_, rest, found := strings.Cut(r.URL.Path, "/namespaces/")
	query := r.URL.Query()
	if !found || query.Get("watch") != "" || query.Has("limit") || query.Has("resourceVersion") {
		return "", request{}, false
	}
	namespace, path, below := strings.Cut(rest, "/")
	if !below {
		path = "namespace"
	}
	return namespace, request{
		Method: r.Method, Path: path, DryRun: query.Get("dryRun") != "",
		User: r.Header.Get("Impersonate-User"), Type: r.Header.Get("Content-Type"),
	}, true
}

// take returns the requests about a namespace since the last call, but for events.
func (t *traffic) take(namespace string) []request {
	t.mu.Lock()
	defer t.mu.Unlock()
	var kept []request
	for _, one := range t.seen[namespace] {
		if !strings.HasPrefix(one.Path, "events") {
			kept = append(kept, one)
		}
	}
	delete(t.seen, namespace)
	return kept
}

// sent returns the requests about one object since the last look at the traffic of the world.
func (w *world) sent(path string) []request {
	var kept []request
	for _, one := range w.daemon.traffic.take(w.namespace) {
		if one.Path == path {
			kept = append(kept, one)
		}
	}
	return kept
}

// fault answers requests about a namespace in the server's place, where it returns something.
func (t *traffic) fault(namespace string, answer func(request) (*http.Response, error)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults[namespace] = answer
}

// texts writes requests in short.
func texts(requests []request) []string {
	out := make([]string, len(requests))
	for i, one := range requests {
		out[i] = one.String()
	}
	return out
}

// refuse makes an answer of the server that is an error.
func refuse(code int, reason, message string) *http.Response {
	body := `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"` + message + `","reason":"` + reason + `","code":` + strconv.Itoa(code) + `}`
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
