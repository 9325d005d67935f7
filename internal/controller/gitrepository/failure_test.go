package gitrepository_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

func TestRemoteTrouble(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	repo := w.git.Repository(t, "platform")
	repo.Commit(t, map[string]string{"a.yaml": "a: 1\n"})
	w.create("platform", sourcev1.GitRepositorySpec{URL: repo.URL(), Timeout: &metav1.Duration{Duration: time.Second}})
	before := w.until("platform", "ready", isReady)

	cases := map[string]struct {
		why   string
		fault gittest.Fault
	}{
		"Down":    {"the server answers with errors", gittest.Status(503, "maintenance")},
		"Garbage": {"the server is none", gittest.Garbage()},
		"Hang":    {"a worker is never held longer than the timeout", gittest.Hang()},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w.events.take()
			w.git.Break(gittest.Always(c.fault))
			w.wake("platform")
			failing := w.until("platform", "failing", func(object *sourcev1.GitRepository) bool {
				return is(object, "FetchFailed", metav1.ConditionTrue)
			})
			if !is(failing, "Ready", metav1.ConditionFalse) || condition(failing, "Ready").Reason != "GitOperationFailed" ||
				condition(failing, "Reconciling").Reason != "ProgressingWithRetry" || failing.Status.ObservedGeneration != failing.Generation {
				t.Errorf("%s: %s", c.why, describe(failing))
			}
			if diff := cmp.Diff(before.Status.Artifact, failing.Status.Artifact); diff != "" {
				t.Errorf("the artifact must stay (-want +got):\n%s", diff)
			}
			if got := download(t, failing.Status.Artifact.URL); got != before.Status.Artifact.Digest {
				t.Errorf("the artifact must be served: %s", got)
			}
			if asked := w.ask("platform"); !is(asked, "FetchFailed", metav1.ConditionTrue) {
				t.Errorf("a request is echoed on failure, too: %s", describe(asked))
			}
			w.git.Break(nil) // from here it recovers by itself
			recovered := w.until("platform", "ready again", isReady)
			if len(recovered.Status.Conditions) != 2 {
				t.Errorf("abnormal conditions stay: %s", describe(recovered))
			}
			w.events.await(t, "platform: Normal Succeeded stored artifact for commit '"+before.Status.Artifact.Revision+"'")
		})
	}
}

func TestFirstFetchTellsThatItIsSlow(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	repo := w.git.Repository(t, "platform")
	repo.Commit(t, map[string]string{"a.yaml": "a: 1\n"})
	w.git.Break(gittest.Always(gittest.Hang()))
	w.create("platform", sourcev1.GitRepositorySpec{URL: repo.URL(), Timeout: &metav1.Duration{Duration: 3 * time.Second}})
	object := w.until("platform", "in progress", func(object *sourcev1.GitRepository) bool {
		return is(object, "Ready", metav1.ConditionUnknown)
	})
	if condition(object, "Reconciling").Reason != "Progressing" || object.Status.ObservedGeneration != -1 {
		t.Errorf("not in progress: %s", describe(object))
	}
	object = w.until("platform", "failing", func(object *sourcev1.GitRepository) bool {
		return is(object, "FetchFailed", metav1.ConditionTrue)
	})
	if object.Status.ObservedGeneration != -1 || !strings.Contains(condition(object, "FetchFailed").Message, "timed out") {
		t.Errorf("not timed out: %s", describe(object))
	}
	w.git.Break(nil)
	w.until("platform", "ready", isReady)
}

func TestCredentials(t *testing.T) {
	w := newWorld(t, gittest.Options{Username: "me", Password: "right"})
	repo := w.git.Repository(t, "platform")
	repo.Commit(t, map[string]string{"a.yaml": "a: 1\n"})
	w.create("platform", sourcev1.GitRepositorySpec{URL: repo.URL(), SecretRef: &meta.LocalObjectReference{Name: "git"}})
	object := w.until("platform", "failing without its Secret", func(object *sourcev1.GitRepository) bool {
		return condition(object, "FetchFailed").Reason == "AuthenticationFailed"
	})
	if object.Status.Artifact != nil {
		t.Errorf("there is an artifact: %s", describe(object))
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "git"},
		StringData: map[string]string{"username": "me", "password": "wrong-canary"},
	}
	check(t, w.client.Create(context.Background(), secret))
	object = w.until("platform", "refused by the remote", func(object *sourcev1.GitRepository) bool {
		return condition(object, "FetchFailed").Reason == "GitOperationFailed"
	})
	if strings.Contains(describe(object), "canary") || strings.Contains(strings.Join(w.events.take(), "\n"), "canary") {
		t.Errorf("a password is shown: %s", describe(object))
	}
	secret.StringData = map[string]string{"username": "me", "password": "right"}
	check(t, w.client.Update(context.Background(), secret))
	w.until("platform", "ready by itself", isReady)
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	repo := w.git.Repository(t, "platform")
	repo.Commit(t, map[string]string{"a.yaml": "a: 1\n"})
	cases := map[string]struct {
		why    string
		spec   sourcev1.GitRepositorySpec
		reason string
	}{
		"azure":  {"no cloud identity here", sourcev1.GitRepositorySpec{Provider: "azure"}, "InvalidProviderConfiguration"},
		"github": {"no app identity here", sourcev1.GitRepositorySpec{Provider: "github"}, "InvalidProviderConfiguration"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w.git.Reset()
			c.spec.URL = repo.URL()
			w.create(name, c.spec)
			object := w.until(name, "stalled", func(object *sourcev1.GitRepository) bool { return is(object, "Stalled", metav1.ConditionTrue) })
			if !is(object, "Ready", metav1.ConditionFalse) || condition(object, "Ready").Reason != c.reason || object.Status.ObservedGeneration != object.Generation {
				t.Errorf("%s: %s", c.why, describe(object))
			}
			if object.Status.Artifact != nil || len(w.git.Requests()) != 0 {
				t.Errorf("fetched nevertheless: %s", describe(object))
			}
			w.change(name, func(object *sourcev1.GitRepository) { object.Spec.Provider = "" })
			w.until(name, "ready after a change of its spec", isReady)
		})
	}
}
