package observe_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// behind observes through a proxy an object of ours that is in sync.
func behind(t *testing.T) (*world, *proxy, *unstructured.Unstructured) {
	t.Helper()
	p := newProxy(t)
	w := newWorldAt(t, p.config(), observe.Options{})
	wanted := w.object(configMap)
	w.claim(object.RefOf(wanted))
	w.awaitFor(w.unit, object.Ref{}, observe.Synced)
	w.own(wanted)
	return w, p, wanted
}

// TestWatchFaults: whatever happens to a watch, what somebody does meanwhile is found, nothing is
// made up, and no help is needed.
func TestWatchFaults(t *testing.T) {
	faults := map[string]struct {
		why    string
		harm   func(*proxy)
		blind  bool // the observer can tell that it is blind
		repair func(*proxy)
	}{
		"Closed": {why: "a server closes watches every few minutes", harm: (*proxy).cut, repair: func(*proxy) {}},
		"Refused": {
			why:   "the server restarts: connections are refused",
			harm:  func(p *proxy) { p.close() },
			blind: true, repair: (*proxy).reopen,
		},
		"Unavailable": {
			why:   "a load balancer has no server behind it",
			harm:  func(p *proxy) { p.set(refuse(503, "ServiceUnavailable")); p.cut() },
			blind: true, repair: func(p *proxy) { p.set(nil) },
		},
		"TooManyRequests": {
			why:   "priority and fairness turns us away",
			harm:  func(p *proxy) { p.set(refuse(429, "TooManyRequests")); p.cut() },
			blind: true, repair: func(p *proxy) { p.set(nil) },
		},
		"Forbidden": {
			why:   "somebody took our rights, and gives them back",
			harm:  func(p *proxy) { p.set(refuse(403, "Forbidden")); p.cut() },
			blind: true, repair: func(p *proxy) { p.set(nil) },
		},
		"NotFound": {
			why:   "a broken proxy in between knows no path: the object is not gone for that",
			harm:  func(p *proxy) { p.set(notFoundWatches); p.cut() },
			blind: true, repair: func(p *proxy) { p.set(nil) },
		},
		"Expired": {
			why:  "the history since our last event was compacted",
			harm: func(p *proxy) { p.set(expireOnce()); p.cut() }, repair: func(*proxy) {},
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, p, wanted := behind(t)
			ref := object.RefOf(wanted)
			second := w.object(replace(configMap, "name: settings", "name: second"))
			w.claim(ref, object.RefOf(second))
			w.own(second)
			w.heard.forget()

			fault.harm(p)
			if fault.blind {
				w.until(ref, "stale", func(s observe.State) bool { return s.Stale })
			}
			w.edit(ref, set("red", "data", "colour"))
			w.remove(object.RefOf(second))
			if state := w.observer.State(ref); fault.blind && (!state.Known || !state.Exists || state.Health.Status != observe.Current) {
				t.Errorf("blind, and sees %+v", state)
			}
			fault.repair(p)
			w.await(ref, observe.Drifted)
			w.await(object.RefOf(second), observe.Gone)
			w.until(ref, "fresh", func(s observe.State) bool { return !s.Stale })
			if causes := w.heard.causes(w.unit, ref); !slices.Equal(causes, []observe.Cause{observe.Drifted}) {
				t.Errorf("woken for %v: %s", causes, fault.why)
			}
			w.own(wanted)
			w.heard.forget()
			w.edit(ref, set("green", "data", "colour"))
			w.await(ref, observe.Drifted)
		})
	}
}

func notFoundWatches(answer http.ResponseWriter, request *http.Request) bool {
	return request.URL.Query().Get("watch") == "true" && refuse(404, "NotFound")(answer, request)
}

// expireOnce answers the next plain watch with an event that tells that its version is gone.
func expireOnce() func(http.ResponseWriter, *http.Request) bool {
	left := make(chan struct{}, 1)
	left <- struct{}{}
	return func(answer http.ResponseWriter, request *http.Request) bool {
		query := request.URL.Query()
		if query.Get("watch") != "true" || query.Get("sendInitialEvents") == "true" {
			return false
		}
		select {
		case <-left:
		default:
			return false
		}
		answer.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(answer, `{"type":"ERROR","object":%s}`, status(410, "Expired"))
		return true
	}
}

// TestServerWithoutStreamedLists: older servers are listed first and watched then.
func TestServerWithoutStreamedLists(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	p.set(func(answer http.ResponseWriter, request *http.Request) bool {
		return request.URL.Query().Get("sendInitialEvents") == "true" && refuse(422, "Invalid")(answer, request)
	})
	w := newWorldAt(t, p.config(), observe.Options{})
	wanted := w.object(configMap)
	ref := object.RefOf(wanted)
	w.apply(wanted, manager, false)
	w.claim(ref)
	w.awaitFor(w.unit, object.Ref{}, observe.Synced)
	if state := w.observer.State(ref); !state.Known || !state.Exists {
		t.Fatalf("after the list: %+v", state)
	}
	w.own(wanted)
	w.edit(ref, set("red", "data", "colour"))
	w.await(ref, observe.Drifted)
}

// TestForbiddenFromTheStart: without the right to watch nothing is known, and nothing made up.
func TestForbiddenFromTheStart(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	p.set(func(answer http.ResponseWriter, request *http.Request) bool {
		lists := strings.HasSuffix(request.URL.Path, "/configmaps") // of all namespaces, or of one
		return lists && refuse(403, "Forbidden")(answer, request)
	})
	w := newWorldAt(t, p.config(), observe.Options{})
	wanted := w.object(configMap)
	ref := object.RefOf(wanted)
	w.claim(ref)
	w.until(ref, "blind", func(s observe.State) bool { return s.Stale })
	if state := w.observer.State(ref); state.Known || state.Exists || state.Health.Status != observe.Unknown {
		t.Errorf("blind, and sees %+v", state)
	}
	w.own(wanted)
	if state := w.observer.State(ref); !state.Known || !state.Exists || !state.Stale {
		t.Errorf("our own write: %+v", state)
	}
	p.set(nil)
	w.awaitFor(w.unit, object.Ref{}, observe.Synced)
	w.edit(ref, set("red", "data", "colour"))
	w.await(ref, observe.Drifted)
}

// TestRestCostsNothing: once in sync, not a single request is sent.
func TestRestCostsNothing(t *testing.T) {
	t.Parallel()
	w, p, wanted := behind(t)
	w.until(object.RefOf(wanted), "fresh", func(s observe.State) bool { return !s.Stale })
	before := p.count()
	<-time.After(2 * time.Second) // the claim is about time passing: there is nothing to wait for
	if sent := p.count() - before; sent != 0 {
		t.Errorf("%d requests at rest", sent)
	}
}
