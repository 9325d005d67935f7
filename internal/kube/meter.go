package kube

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/transport"
)

// Request is one request to a cluster that has been made.
type Request struct {
	// Verb is one of Verbs.
	Verb string
	// Status is the HTTP status of the answer; 0 means that none came.
	Status int
	// Took is the time until the answer began; a watch goes on after that.
	Took time.Duration
}

// Verbs lists what requests are told apart by.
func Verbs() []string {
	return []string{"apply", "create", "delete", "discover", "dry-run", "get", "list", "other", "patch", "update", "watch"}
}

// Meter returns a wrapper for rest.Config.Wrap that tells of each request, and counts it in the Tally
// of its context. It sees every request of all clients that are made of the configuration.
func Meter(observe func(Request)) transport.WrapperFunc {
	return func(inner http.RoundTripper) http.RoundTripper { return &meter{inner: inner, observe: observe} }
}

type meter struct {
	inner   http.RoundTripper
	observe func(Request)
}

// RoundTrip implements http.RoundTripper.
func (m *meter) RoundTrip(request *http.Request) (*http.Response, error) {
	if tally, found := request.Context().Value(tallyKey{}).(*Tally); found {
		tally.count.Add(1)
	}
	began := time.Now()
	response, err := m.inner.RoundTrip(request)
	seen := Request{Verb: verbOf(request), Took: time.Since(began)}
	if response != nil {
		seen.Status = response.StatusCode
	}
	m.observe(seen)
	return response, err
}

// WrappedRoundTripper lets client-go find the transport below.
func (m *meter) WrappedRoundTripper() http.RoundTripper { return m.inner }

var _ utilnet.RoundTripperWrapper = (*meter)(nil)

// Tally counts the requests that are made for one purpose.
type Tally struct{ count atomic.Int64 }

type tallyKey struct{}

// WithTally returns a context whose metered requests are counted.
func WithTally(ctx context.Context) (context.Context, *Tally) {
	tally := &Tally{}
	return context.WithValue(ctx, tallyKey{}, tally), tally
}

// Count returns how many requests have been made so far.
func (t *Tally) Count() int { return int(t.count.Load()) }

// verbOf names what a request does, as the API server understands it.
func verbOf(request *http.Request) string {
	named, found := resourcePath(request.URL.Path)
	switch request.Method {
	case http.MethodGet, http.MethodHead:
		return readVerb(request.URL, named, found)
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodDelete:
		return "delete"
	case http.MethodPatch:
		switch {
		case strings.Contains(request.URL.RawQuery, "dryRun=All"):
			return "dry-run"
		case strings.HasPrefix(request.Header.Get("Content-Type"), string(types.ApplyPatchType)):
			return "apply"
		default:
			return "patch"
		}
	default:
		return "other"
	}
}

func readVerb(address *url.URL, named, found bool) string {
	query := address.RawQuery
	switch {
	case !found:
		return "discover"
	case strings.Contains(query, "watch=true") || strings.Contains(query, "watch=1"):
		return "watch"
	case named:
		return "get"
	default:
		return "list"
	}
}

// resourcePath tells whether a path is about resources, and whether about a single one:
// /api/v1/namespaces/apps/configmaps/settings. A server may stand below a prefix, as Rancher's do.
func resourcePath(path string) (named, found bool) {
	steps := strings.Split(strings.Trim(path, "/"), "/")
	for i, step := range steps {
		rest := steps[i+1:]
		switch {
		case step == "apis" && len(rest) > 2:
			return isNamed(rest[2:]), true
		case step == "api" && len(rest) > 1:
			return isNamed(rest[1:]), true
		}
	}
	return false, false
}

// isNamed tells whether a path behind the version has a name in it: resource/name, or
// namespaces/namespace/resource/name.
func isNamed(steps []string) bool {
	if steps[0] == "namespaces" && len(steps) > 2 {
		steps = steps[2:]
	}
	return len(steps) > 1
}
