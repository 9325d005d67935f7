package event_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"holdfast.dev/holdfast/internal/record/event"
)

// posted is an event as Flux's controllers post it.
const posted = `{
  "involvedObject": {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "name": "webapp", "namespace": "apps", "uid": "7d0cdc51"},
  "metadata": {"kustomize.toolkit.fluxcd.io/revision": "main@sha1:731f7eaddfb6af01cb2173e18f0f75b0ba780ef1"},
  "severity": "error", "reason": "BuildFailed", "message": "kustomize build failed",
  "reportingController": "kustomize-controller", "reportingInstance": "kustomize-controller-7c7b47f5f-8bhrp",
  "timestamp": "2022-10-28T07:26:19Z"
}`

func TestEventsAreFluxs(t *testing.T) {
	said, err := event.Decode([]byte(posted))
	if err != nil {
		t.Fatal(err)
	}
	if got := said.Revision(); got != "main@sha1:731f7eaddfb6af01cb2173e18f0f75b0ba780ef1" {
		t.Errorf("the revision is %q", got)
	}
	encoded, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	_ = json.Unmarshal([]byte(posted), &want)
	_ = json.Unmarshal(encoded, &got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the JSON differs from Flux's (-want +got):\n%s", diff)
	}
}

// kubernetes is a recorder of Kubernetes events.
type kubernetes func(kind, reason, message string)

func (k kubernetes) AnnotatedEventf(_ runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	k(kind, reason, strings.Replace(format, "%s", args[0].(string), 1))
}

func TestRecorder(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var written []string
	var taken []event.Event
	recorder := event.New(event.Options{
		Kubernetes: kubernetes(func(kind, reason, message string) { written = append(written, kind+" "+reason+" "+message) }),
		Scheme:     clientgoscheme.Scheme, Controller: "kustomize-controller", Instance: "host",
		Take: func(said event.Event) { taken = append(taken, said) }, Now: func() time.Time { return at },
	})
	about := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: "apps", Name: "web", UID: "1", ResourceVersion: "7",
		Annotations: map[string]string{"event.toolkit.fluxcd.io/team": "blue", "other/x": "y"},
	}}
	recorder.AnnotatedEventf(about, map[string]string{"g/revision": "r"}, corev1.EventTypeWarning, "BuildFailed", "%s", "no such file")
	if diff := cmp.Diff([]string{"Warning BuildFailed no such file"}, written); diff != "" {
		t.Errorf("the Kubernetes event differs (-want +got):\n%s", diff)
	}
	want := []event.Event{{
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: "apps", Name: "web", UID: "1", ResourceVersion: "7"},
		Severity:       event.Error, Timestamp: metav1.NewTime(at), Reason: "BuildFailed", Message: "no such file",
		Metadata:            map[string]string{"g/revision": "r", "event.toolkit.fluxcd.io/team": "blue"},
		ReportingController: "kustomize-controller", ReportingInstance: "host",
	}}
	if diff := cmp.Diff(want, taken); diff != "" {
		t.Errorf("the event differs (-want +got):\n%s", diff)
	}
	recorder.AnnotatedEventf(about, nil, corev1.EventTypeNormal, "X", "%s", strings.Repeat("é", 30_000))
	if got := taken[1].Message; len(got) > 39_000 || !strings.HasSuffix(got, "é…") {
		t.Errorf("a long message has %d bytes and ends with %q", len(got), got[len(got)-6:])
	}
}

func TestGist(t *testing.T) {
	cases := map[string]struct{ why, a, b string }{
		"Duration": {"Flux's own success message tells how long it took", "Reconciliation finished in 1.23s, next run in 10m0s", "Reconciliation finished in 987ms, next run in 10m0s"},
		"Compound": {"durations have several parts", "Health check passed in 1m30.5s", "Health check passed in 3s"},
		"Moment":   {"certificates tell the time", "expired at 2026-01-02T03:04:05Z", "expired at 2027-01-02T03:04:05.123Z"},
		"Small":    {"some are small", "took 12µs", "took 7ns"},
	}
	for name, c := range cases {
		if event.Gist(c.a) != event.Gist(c.b) {
			t.Errorf("%s: %s: %q and %q differ", name, c.why, event.Gist(c.a), event.Gist(c.b))
		}
	}
	for _, kept := range []string{"ConfigMap/apps/v2 created", "image web:3e5 not found in main@sha1:3e5a", "port 8080"} {
		if got := event.Gist(kept); got != kept {
			t.Errorf("%q became %q", kept, got)
		}
	}
}

func TestReceiver(t *testing.T) {
	full := false
	var taken []event.Event
	now := time.Now()
	receiver := event.NewReceiver(func(said event.Event) bool {
		if !full {
			taken = append(taken, said)
		}
		return !full
	}, 0, func() time.Time { return now })
	post := func(method, body string) int {
		answer := httptest.NewRecorder()
		receiver.ServeHTTP(answer, httptest.NewRequestWithContext(context.Background(), method, "/", strings.NewReader(body)))
		return answer.Code
	}
	with := func(old, latest string) string { return strings.Replace(posted, old, latest, 1) }
	steps := []struct {
		name, why, method, body string
		before                  func()
		want                    int
	}{
		{name: "Taken", why: "an event is taken", body: posted, want: http.StatusAccepted},
		{name: "Again", why: "what was said is not said again", body: posted, want: http.StatusTooManyRequests},
		{name: "Other", why: "another revision is news", body: with("731f", "831f"), want: http.StatusAccepted},
		{name: "Token", why: "a token tells events apart", body: with(`"metadata": {`, `"metadata": {"kustomize.toolkit.fluxcd.io/token": "2", `), want: http.StatusAccepted},
		{name: "Later", why: "after five minutes it may be said again", body: posted, want: http.StatusAccepted, before: func() { now = now.Add(5 * time.Minute) }},
		{name: "Method", why: "there is nothing to get", method: http.MethodGet, want: http.StatusMethodNotAllowed},
		{name: "Garbage", why: "what is no JSON is refused", body: "{", want: http.StatusBadRequest},
		{name: "Large", why: "nobody may fill the memory", body: with("kustomize build failed", strings.Repeat("x", 4<<20)), want: http.StatusRequestEntityTooLarge},
		{name: "Full", why: "what cannot be kept is to come again", body: with("webapp", "other"), want: http.StatusServiceUnavailable, before: func() { full = true }},
		{name: "Room", why: "and is then no duplicate", body: with("webapp", "other"), want: http.StatusAccepted, before: func() { full = false }},
	}
	for _, step := range steps {
		if step.before != nil {
			step.before()
		}
		if step.method == "" {
			step.method = http.MethodPost
		}
		if got := post(step.method, step.body); got != step.want {
			t.Errorf("%s: got %d, want %d: %s", step.name, got, step.want, step.why)
		}
	}
	for _, said := range taken {
		if said.Own(event.TokenKey) != "" {
			t.Error("the token was handed on")
		}
	}
}

func TestForwarder(t *testing.T) {
	var bodies []string
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		if len(bodies) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		close(arrived)
	}))
	defer server.Close()
	forwarder, err := event.NewForwarder(server.URL, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- forwarder.Start(ctx) }()
	said, _ := event.Decode([]byte(posted))
	forwarder.Take(said)
	select {
	case <-arrived:
	case <-time.After(20 * time.Second):
		t.Fatal("the event did not arrive after a refusal")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if bodies[0] != bodies[1] || !strings.Contains(bodies[1], `"reason":"BuildFailed"`) {
		t.Errorf("posted %q", bodies)
	}
	if _, err := event.NewForwarder("file:///etc/canary", logr.Discard()); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a file is no place to post to: %v", err)
	}
}

func TestWindowIsBounded(t *testing.T) {
	window := event.NewWindow(time.Hour, nil)
	for i := range 30_000 {
		if !window.First(strings.Repeat("x", i%7) + string(rune('a'+i%26)) + time.Duration(i).String()) {
			t.Fatal("a new key is taken for an old one")
		}
	}
	if !window.First("a0s") {
		t.Error("the first keys are still remembered after 30000 others")
	}
}

func FuzzReceiver(f *testing.F) {
	f.Add([]byte(posted))
	f.Add([]byte(`{"metadata":{"":""},"timestamp":null}`))
	f.Add([]byte(`[]`))
	receiver := event.NewReceiver(func(said event.Event) bool {
		_, _, _ = said.Key(), said.Revision(), said.Object()
		return len(said.Message) < 40_000
	}, 0, time.Now)
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := httptest.NewRecorder()
		receiver.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(string(body))))
		switch answer.Code {
		case http.StatusAccepted, http.StatusBadRequest, http.StatusTooManyRequests:
		default:
			t.Errorf("answered %d", answer.Code)
		}
	})
}
