package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/operator"
)

// webhook is a service that alerts go to. It hands out what it is sent, in order.
type webhook struct {
	*httptest.Server
	messages chan map[string]any
}

func newWebhook(t *testing.T) *webhook {
	t.Helper()
	hook := &webhook{messages: make(chan map[string]any, 1000)}
	hook.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		message := map[string]any{}
		if json.Unmarshal(body, &message) == nil {
			message["token"] = r.Header.Get("X-Token")
			hook.messages <- message
		}
	}))
	t.Cleanup(hook.Close)
	return hook
}

// next waits for the next message, and tells it as "name reason message".
func (h *webhook) next(w *world) string {
	w.t.Helper()
	select {
	case message := <-h.messages:
		if message["token"] != "canary-header" {
			w.t.Errorf("the header from the Secret is %v", message["token"])
		}
		involved, _ := message["involvedObject"].(map[string]any)
		return strings.Join([]string{text(involved["name"]), text(message["reason"]), text(message["message"])}, " ")
	case <-time.After(patience):
		w.t.Fatal("nobody was alerted")
		return ""
	}
}

func text(value any) string {
	return strings.TrimSpace(strings.Trim(strings.ReplaceAll(jsonOf(value), "\\n", " "), `"`))
}

func jsonOf(value any) string {
	encoded, _ := json.Marshal(value)
	return string(encoded)
}

// add creates an object from YAML in the world's namespace.
func (w *world) add(manifest string) {
	w.t.Helper()
	u := &unstructured.Unstructured{}
	check(w.t, yaml.Unmarshal([]byte(manifest), &u.Object))
	u.SetNamespace(w.namespace)
	w.create(u)
}

func (w *world) addAlerts(hook *webhook) {
	w.t.Helper()
	w.create(&corev1.Secret{
		ObjectMeta: w.meta("hook"),
		StringData: map[string]string{"address": hook.URL + "/canary-path?key=canary-query", "headers": "X-Token: canary-header"},
	})
	w.add("apiVersion: notification.toolkit.fluxcd.io/v1\nkind: Provider\nmetadata:\n  name: hook\nspec:\n  type: generic\n  secretRef:\n    name: hook\n")
	w.add("apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Alert\nmetadata:\n  name: broken\nspec:\n  providerRef:\n    name: hook\n" +
		"  eventSeverity: error\n  summary: test cluster\n  eventSources:\n    - kind: Kustomization\n      name: '*'\n")
}

// TestAlerts: a broken unit alerts people once, its mending tells them once that it is well, and the
// secrets of the provider are nowhere but in the request.
func TestAlerts(t *testing.T) {
	t.Parallel()
	hook := newWebhook(t)
	var log lockedBuffer
	var dir string
	w := newOwnWorld(t, func(c *operator.Config) {
		c.LoopbackAlerts, c.Log, dir = true, logTo(&log), c.Dir
	})
	w.addAlerts(hook)
	good := configMap("settings", "color: blue")
	w.deliver("apps", map[string]string{"apps/a.yaml": good, "other/a.yaml": configMap("more", "a: b")})
	w.commit(map[string]string{"apps/a.yaml": "kind: [\n"})
	w.failed("apps", "BuildFailed", "")
	if got := hook.next(w); !strings.HasPrefix(got, "apps BuildFailed ") || !strings.Contains(got, "apps/a.yaml") {
		t.Errorf("alerted: %s", got)
	}
	revision := w.commit(map[string]string{"elsewhere/x.md": "the same failure at another commit"})
	w.until("apps", "attempted", func(u *kustomizev1.Kustomization) bool { return u.Status.LastAttemptedRevision == revision })
	w.ready("apps", w.commit(map[string]string{"apps/a.yaml": good}))
	if got := hook.next(w); !strings.HasPrefix(got, "apps ReconciliationSucceeded Recovered from BuildFailed: ") {
		t.Errorf("then told: %s", got)
	}
	w.commit(map[string]string{"other/a.yaml": "kind: [\n"})
	w.unit("other")
	w.failed("other", "BuildFailed", "")
	if got := hook.next(w); !strings.HasPrefix(got, "other BuildFailed ") {
		t.Errorf("between the recovery and the next failure people were told: %s", got)
	}
	var events corev1.EventList
	check(t, w.client.List(context.Background(), &events, client.InNamespace(w.namespace)))
	if shown := jsonOf(events) + log.String(); strings.Contains(shown, "canary") {
		t.Error("a secret of the provider is in an event or in the log")
	}
	stores, err := filepath.Glob(filepath.Join(dir, "record.db*"))
	check(t, err)
	for _, store := range stores {
		content, err := os.ReadFile(store)
		check(t, err)
		if bytes.Contains(content, []byte("canary")) {
			t.Errorf("a secret of the provider is in %s", filepath.Base(store))
		}
	}
	if len(stores) == 0 {
		t.Error("messages wait nowhere")
	}
}

// TestEventsOfOthers: other controllers post their events as to Flux's notification controller.
func TestEventsOfOthers(t *testing.T) {
	t.Parallel()
	hook := newWebhook(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only finds a free port
	check(t, err)
	address := listener.Addr().String()
	check(t, listener.Close())
	w := newOwnWorld(t, func(c *operator.Config) { c.LoopbackAlerts, c.EventsAddress = true, address })
	w.addAlerts(hook)
	post := func(message string) int {
		body := `{"involvedObject":{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","name":"theirs","namespace":"` + w.namespace +
			`"},"severity":"error","reason":"X","message":"` + message + `","timestamp":"2026-01-02T03:04:05Z","reportingController":"x"}`
		answer, err := http.Post("http://"+address+"/", "application/json", strings.NewReader(body)) //nolint:noctx // a test's own server
		if err != nil {
			return 0
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	// An event that comes before the daemon knows of the Alert is taken and concerns nobody, so each
	// attempt is an event of its own.
	sent := map[string]bool{}
	eventually.True(t, "people are alerted", func() bool {
		message := fmt.Sprintf("message-%d", len(sent))
		code := post(message)
		if code != 0 && code != http.StatusAccepted {
			t.Fatalf("answered %d", code)
		}
		sent[message] = code == http.StatusAccepted
		return len(hook.messages) > 0
	})
	told := strings.TrimPrefix(hook.next(w), "theirs X ")
	if !sent[told] {
		t.Errorf("alerted: %s", told)
	}
	if code := post(told); code != http.StatusTooManyRequests {
		t.Errorf("the same event again is answered with %d", code)
	}
}

// TestUselessAlerts: what can never work is said in an event, in either version of the kinds.
func TestUselessAlerts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\nmetadata:\n  name: later\nspec:\n  type: generic\n  address: http://x\n")
	w.add("apiVersion: notification.toolkit.fluxcd.io/v1\nkind: Alert\nmetadata:\n  name: garbled\nspec:\n  providerRef:\n    name: later\n" +
		"  eventSources:\n    - kind: Kustomization\n      name: '*'\n  exclusionList: ['(']\n")
	if got := w.told("garbled", "spec.exclusionList"); got.Type != corev1.EventTypeWarning {
		t.Errorf("told as %s", got.Type)
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Group: "notification.toolkit.fluxcd.io", Version: "v1beta3", Kind: "Alert"})
	check(t, w.client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: "garbled"}, live))
	if severity, _, _ := unstructured.NestedString(live.Object, "spec", "eventSeverity"); severity != "info" {
		t.Errorf("the default severity is %q", severity)
	}
}

// lockedBuffer is a log in memory.
type lockedBuffer struct {
	lock sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) add(prefix, line string) {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.text.WriteString(prefix + line + "\n")
}

func (b *lockedBuffer) String() string {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.text.String()
}

func logTo(b *lockedBuffer) logr.Logger { return funcr.New(b.add, funcr.Options{Verbosity: 5}) }
