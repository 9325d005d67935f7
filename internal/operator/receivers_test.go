package operator_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/operator"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

const hookToken = "made for this test"

// receiver makes a Receiver for GitHub and waits until its webhook is answered. It returns the path.
func (w *world) receiver(names ...string) string {
	w.t.Helper()
	w.create(&corev1.Secret{ObjectMeta: w.meta("hook"), Data: map[string][]byte{"token": []byte(hookToken)}})
	r := &notificationv1.Receiver{ObjectMeta: w.meta("github"), Spec: notificationv1.ReceiverSpec{
		Type: notificationv1.GitHubReceiver, Events: []string{"push"}, SecretRef: &meta.LocalObjectReference{Name: "hook"},
	}}
	for _, name := range names {
		r.Spec.Resources = append(r.Spec.Resources, notificationv1.ReceiverResource{
			CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{Kind: sourcev1.GitRepositoryKind, Name: name},
		})
	}
	w.create(r)
	live := await(w, r, "ready", func(r *notificationv1.Receiver) bool {
		return r != nil && apimeta.IsStatusConditionTrue(r.Status.Conditions, meta.ReadyCondition)
	})
	deadline := time.Now().Add(patience)
	for w.push(live.Status.WebhookPath, "{}", "sha256=00") != http.StatusBadRequest { // the daemon's cache has it as well
		if time.Now().After(deadline) {
			w.t.Fatal("the webhook is not answered")
		}
	}
	return live.Status.WebhookPath
}

// push calls a webhook as GitHub does and returns the status.
func (w *world) push(path, body, signature string) int {
	w.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+w.daemon.ReceiverHost()+path, bytes.NewReader([]byte(body)))
	check(w.t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-GitHub-Event", "push")
	request.Header.Set("X-Hub-Signature-256", signature)
	response, err := http.DefaultClient.Do(request)
	check(w.t, err)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	check(w.t, err)
	return response.StatusCode
}

func signature(body string) string {
	mac := hmac.New(sha256.New, []byte(hookToken))
	_, _ = mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// TestPushGoesLive: a signed push makes a new commit live at once, although every interval is an hour.
func TestPushGoesLive(t *testing.T) {
	t.Parallel()
	w := newOwnWorld(t, func(c *operator.Config) { c.ReceiverAddress = "127.0.0.1:0" })
	w.deliver("apps", map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
	path := w.receiver(sourceName)

	digest := sha256.Sum256([]byte(hookToken + "github" + w.namespace))
	if want := "/hook/" + hex.EncodeToString(digest[:]); path != want {
		t.Errorf("the path is %s, want Flux's %s", path, want)
	}
	body := `{"ref":"refs/heads/main"}`
	if got := w.push("/hook/other", body, signature(body)); got != http.StatusNotFound {
		t.Errorf("an unknown path got %d", got)
	}
	if got := w.push(path, body, signature("something else")); got != http.StatusBadRequest {
		t.Errorf("a wrong signature got %d", got)
	}
	var source sourcev1.GitRepository
	check(t, w.client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: sourceName}, &source))
	if _, asked := source.Annotations[meta.ReconcileRequestAnnotation]; asked {
		t.Error("somebody without the token had the source reconciled")
	}

	w.repo.Apply(t, gittest.Change{Files: map[string]string{"apps/a.yaml": configMap("settings", "color: red")}})
	began := time.Now()
	if got := w.push(path, body, signature(body)); got != http.StatusOK {
		t.Fatalf("a push got %d", got)
	}
	answered := time.Since(began)
	await(w, w.configMap("settings"), "red", func(c *unstructured.Unstructured) bool {
		color, _, _ := unstructured.NestedString(c.Object, "data", "color")
		return color == "red"
	})
	t.Logf("answered after %s, live after %s", answered.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// TestReceiverWithoutToken: it says what is missing, in Flux's words, and works as soon as it is there.
func TestReceiverWithoutToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := &notificationv1.Receiver{ObjectMeta: w.meta("generic"), Spec: notificationv1.ReceiverSpec{
		Type: notificationv1.GenericReceiver, SecretRef: &meta.LocalObjectReference{Name: "hook"},
		Resources: []notificationv1.ReceiverResource{{CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{
			Kind: sourcev1.GitRepositoryKind, Name: sourceName,
		}}},
	}}
	w.create(r)
	reads := func(status, reason string) func(r *notificationv1.Receiver) bool {
		return func(r *notificationv1.Receiver) bool {
			ready := apimeta.FindStatusCondition(r.Status.Conditions, meta.ReadyCondition)
			return ready != nil && string(ready.Status) == status && ready.Reason == reason
		}
	}
	waiting := await(w, r, "without a token", reads("False", notificationv1.TokenNotFoundReason))
	if waiting.Status.WebhookPath != "" {
		t.Errorf("it has a path: %s", waiting.Status.WebhookPath)
	}
	w.create(&corev1.Secret{ObjectMeta: w.meta("hook"), Data: map[string][]byte{"token": []byte(hookToken)}})
	live := await(w, r, "ready", reads("True", meta.SucceededReason))
	if message := live.Status.Conditions[0].Message; message != "Receiver initialized for path: "+live.Status.WebhookPath {
		t.Errorf("the message is %q", message)
	}
	if live.Status.ObservedGeneration != live.Generation {
		t.Errorf("observed generation %d of %d", live.Status.ObservedGeneration, live.Generation)
	}
}

// TestReceiverWithABadFilter: nobody waits for what cannot get better by itself.
func TestReceiverWithABadFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: w.meta("hook"), Data: map[string][]byte{"token": []byte(hookToken)}})
	r := &notificationv1.Receiver{ObjectMeta: w.meta("generic"), Spec: notificationv1.ReceiverSpec{
		Type: notificationv1.GenericReceiver, SecretRef: &meta.LocalObjectReference{Name: "hook"}, ResourceFilter: "req.tag ==",
		Resources: []notificationv1.ReceiverResource{{CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{
			Kind: sourcev1.GitRepositoryKind, Name: sourceName,
		}}},
	}}
	w.create(r)
	await(w, r, "stalled", func(r *notificationv1.Receiver) bool {
		stalled := apimeta.FindStatusCondition(r.Status.Conditions, meta.StalledCondition)
		return stalled != nil && stalled.Status == "True" && stalled.Reason == "InvalidCELExpression"
	})
}
