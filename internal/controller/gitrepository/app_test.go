package gitrepository_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

// TestGitHubApp: a source reads as an App's installation, and a new token costs no new clone.
func TestGitHubApp(t *testing.T) {
	w := newWorld(t, gittest.Options{TLS: true})
	repo := w.git.Repository(t, "platform")
	repo.Commit(t, map[string]string{"a.yaml": "a: 1\n"})
	var given, valid atomic.Int64
	valid.Store(1)
	hub := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/app/installations/42/access_tokens" || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer eyJ") {
			http.NotFound(out, r)
			return
		}
		out.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(out).Encode(map[string]any{"token": fmt.Sprintf("ghs_%d", given.Add(1)), "expires_at": time.Now().Add(time.Hour)})
	}))
	t.Cleanup(hub.Close)
	w.git.Break(func(r *http.Request) gittest.Fault {
		if user, password, _ := r.BasicAuth(); user != "x-access-token" || password != fmt.Sprintf("ghs_%d", valid.Load()) {
			return gittest.Status(http.StatusUnauthorized, "who are you, "+password+"?")
		}
		return nil
	})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	spec := sourcev1.GitRepositorySpec{URL: repo.URL(), Provider: sourcev1.GitProviderGitHub}
	w.create("stalled", spec)
	w.until("stalled", "told that it needs a Secret", func(object *sourcev1.GitRepository) bool {
		stalled := condition(object, "Stalled")
		return stalled.Reason == "InvalidProviderConfiguration" && strings.Contains(stalled.Message, "spec.secretRef")
	})
	check(t, w.client.Create(context.Background(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "app"},
		Data: map[string][]byte{
			"githubAppID": []byte("7"), "githubAppInstallationID": []byte("42"), "githubAppBaseURL": []byte(hub.URL),
			"githubAppPrivateKey": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
			"ca.crt":              append(w.git.CA(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hub.Certificate().Raw})...),
		},
	}))
	spec.SecretRef = &meta.LocalObjectReference{Name: "app"}
	w.create("platform", spec)
	w.until("platform", "ready", isReady)
	w.ask("platform")
	if given.Load() != 1 {
		t.Errorf("a token is kept: %d were asked for", given.Load())
	}

	valid.Store(2) // the first token is revoked
	w.git.Reset()
	w.wake("platform")
	failing := w.until("platform", "failing", func(object *sourcev1.GitRepository) bool { return is(object, "FetchFailed", metav1.ConditionTrue) })
	if message := condition(failing, "FetchFailed").Message; strings.Contains(message, "ghs_") {
		t.Errorf("a token is shown: %s", message)
	}
	w.until("platform", "ready again", isReady)
	if packs := w.git.Count("git-upload-pack"); given.Load() != 2 || w.git.Count("/git-upload-pack") > 0 {
		t.Errorf("another token is asked for, and nothing is fetched again: %d tokens, %d requests", given.Load(), packs)
	}
}
