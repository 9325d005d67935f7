package gitrepository_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

func TestDelivery(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	repo := w.git.Repository(t, "platform")
	hash := repo.Apply(t, gittest.Change{Message: "web: first version\n\nbody", Files: map[string]string{"apps/web.yaml": "kind: ConfigMap\n", "logo.png": "x"}})
	w.create("platform", sourcev1.GitRepositorySpec{URL: repo.URL()})
	object := w.until("platform", "ready", isReady)

	t.Run("StatusIsFluxs", func(t *testing.T) { wantFluxStatus(t, w, object, hash) })
	t.Run("ArtifactIsServed", func(t *testing.T) {
		if got := download(t, object.Status.Artifact.URL); got != object.Status.Artifact.Digest {
			t.Errorf("served archive has digest %s, status says %s", got, object.Status.Artifact.Digest)
		}
		if diff := cmp.Diff([]string{"apps/web.yaml"}, w.paths(object)); diff != "" {
			t.Errorf("files differ (-want +got):\n%s", diff)
		}
	})
	t.Run("TwoWritesAndOneEvent", func(t *testing.T) {
		if diff := cmp.Diff([]string{"PATCH gitrepositories/platform", "PATCH gitrepositories/platform/status"}, w.traffic.take()); diff != "" {
			t.Errorf("requests differ (-want +got):\n%s", diff)
		}
		w.events.await(t, "platform: Normal NewArtifact stored artifact for commit 'web: first version'")
	})
	t.Run("NoChangeCostsOneLookAtTheRemote", func(t *testing.T) {
		w.git.Reset()
		w.look("platform")
		if got := w.git.Count("git-upload-pack"); got != w.git.Count("info/refs") {
			t.Errorf("more than the references was asked for: %+v", w.git.Requests())
		}
		if got := w.traffic.take(); len(got) != 0 {
			t.Errorf("requests to the cluster: %v", got)
		}
		if diff := cmp.Diff(object, w.get("platform")); diff != "" {
			t.Errorf("object changed (-want +got):\n%s", diff)
		}
		if got := w.events.take(); len(got) != 0 {
			t.Errorf("events: %v", got)
		}
	})
	t.Run("CommitCostsOneWrite", func(t *testing.T) {
		w.traffic.take()
		hash := repo.Commit(t, map[string]string{"apps/web.yaml": "kind: Secret\n"})
		w.wake("platform")
		after := w.until("platform", "at the new commit", func(object *sourcev1.GitRepository) bool {
			return object.Status.Artifact.Revision == "main@sha1:"+hash
		})
		if !isReady(after) || after.Status.Artifact.Digest == object.Status.Artifact.Digest {
			t.Errorf("not delivered: %s", describe(after))
		}
		if diff := cmp.Diff([]string{"PATCH gitrepositories/platform/status"}, w.traffic.take()); diff != "" {
			t.Errorf("requests differ (-want +got):\n%s", diff)
		}
		if got := download(t, object.Status.Artifact.URL); got != object.Status.Artifact.Digest {
			t.Errorf("the replaced artifact is not served any more, a reader who has just learned of it fails: %s", got)
		}
	})
	t.Run("RequestIsEchoed", func(t *testing.T) {
		w.events.take()
		if object := w.ask("platform"); !isReady(object) {
			t.Errorf("not ready: %s", describe(object))
		}
		w.events.await(t, "platform: Normal GitOperationSucceeded no changes since last reconciliation: observed revision '"+w.get("platform").Status.Artifact.Revision+"'")
	})
	t.Run("SuspendedIsLeftAlone", func(t *testing.T) {
		w.change("platform", func(object *sourcev1.GitRepository) { object.Spec.Suspend = true })
		w.until("platform", "suspended", isReady)
		w.git.Reset()
		object := w.ask("platform")
		if !isReady(object) || len(w.git.Requests()) != 0 {
			t.Errorf("%d requests to the remote, status: %s", len(w.git.Requests()), describe(object))
		}
		w.change("platform", func(object *sourcev1.GitRepository) { object.Spec.Suspend = false })
		eventually.True(w.t, "the remote is asked again", func() bool { return len(w.git.Requests()) > 0 })
	})
	t.Run("DeletionEndsServing", func(t *testing.T) {
		w.until("platform", "ready", isReady)
		url := w.get("platform").Status.Artifact.URL
		check(t, w.client.Delete(context.Background(), w.get("platform")))
		eventually.True(w.t, "the object is gone", func() bool {
			err := w.client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: "platform"}, &sourcev1.GitRepository{})
			return apierrors.IsNotFound(err)
		})
		if got := download(t, url); got != "404 Not Found" {
			t.Errorf("artifact of a deleted object answers %s", got)
		}
	})
}

// wantFluxStatus compares with a status as Flux writes it, field by field.
func wantFluxStatus(t *testing.T, w *world, object *sourcev1.GitRepository, hash string) {
	t.Helper()
	artifact := object.Status.Artifact
	path := "gitrepository/" + w.namespace + "/platform/" + hash + ".tar.gz"
	stored := metav1.Condition{Status: "True", ObservedGeneration: 1, Reason: "Succeeded", Message: "stored artifact for revision 'main@sha1:" + hash + "'"}
	inStorage := stored
	stored.Type, inStorage.Type = "Ready", "ArtifactInStorage"
	want := sourcev1.GitRepositoryStatus{
		ObservedGeneration: 1,
		Conditions:         []metav1.Condition{stored, inStorage},
		Artifact: &meta.Artifact{
			Digest: artifact.Digest, Size: artifact.Size, Path: path, URL: w.artifacts.URL + "/" + path, Revision: "main@sha1:" + hash,
			// Who wrote the commit and what it says: records of what came of it name both.
			Metadata: map[string]string{"holdfast.dev/author": "Test <test@example.org>", "holdfast.dev/title": "web: first version"},
		},
	}
	ignoreTimes := cmpopts.IgnoreTypes(metav1.Time{})
	if diff := cmp.Diff(want, object.Status, ignoreTimes); diff != "" {
		t.Errorf("status differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"finalizers.fluxcd.io"}, object.Finalizers); diff != "" {
		t.Errorf("finalizers differ (-want +got):\n%s", diff)
	}
	for _, entry := range object.ManagedFields {
		if entry.Subresource == "status" && entry.Manager != "source-controller" {
			t.Errorf("status is written by %q", entry.Manager)
		}
	}
}

func TestRestart(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	repo := w.git.Repository(t, "platform")
	repo.Commit(t, map[string]string{"a.yaml": "a: 1\n"})
	w.create("platform", sourcev1.GitRepositorySpec{URL: repo.URL()})
	before := w.until("platform", "ready", isReady)

	t.Run("FullDiskKeepsTheArtifact", func(t *testing.T) {
		w.git.Reset()
		w.restart()
		w.until("platform", "served at its new address", func(object *sourcev1.GitRepository) bool {
			return strings.HasPrefix(object.Status.Artifact.URL, w.artifacts.URL)
		})
		if w.git.Count("git-upload-pack") != w.git.Count("info/refs") {
			t.Errorf("fetched again: %+v", w.git.Requests())
		}
		if got := download(t, w.get("platform").Status.Artifact.URL); got != before.Status.Artifact.Digest {
			t.Errorf("serves %s, want %s", got, before.Status.Artifact.Digest)
		}
		if got := w.events.take(); len(got) != 0 {
			t.Errorf("events: %v", got)
		}
	})
	t.Run("EmptyDiskFetchesAgain", func(t *testing.T) {
		w.storeDir, w.cacheDir = w.t.TempDir(), w.t.TempDir()
		w.restart()
		object := w.until("platform", "served at its new address", func(object *sourcev1.GitRepository) bool {
			return object.Status.Artifact != nil && strings.HasPrefix(object.Status.Artifact.URL, w.artifacts.URL) && isReady(object)
		})
		if got := download(t, object.Status.Artifact.URL); got != before.Status.Artifact.Digest {
			t.Errorf("serves %s, want %s", got, before.Status.Artifact.Digest)
		}
	})
	t.Run("DamagedDiskIsNoticed", func(t *testing.T) {
		w.stop()
		archives, err := filepath.Glob(filepath.Join(w.storeDir, "trees", "*.tar.gz"))
		check(t, err)
		for _, archive := range archives {
			check(t, os.WriteFile(archive, []byte("garbage"), 0o600))
		}
		w.restart()
		object := w.until("platform", "served at its new address", func(object *sourcev1.GitRepository) bool {
			return object.Status.Artifact != nil && strings.HasPrefix(object.Status.Artifact.URL, w.artifacts.URL) && isReady(object)
		})
		if got := download(t, object.Status.Artifact.URL); got != before.Status.Artifact.Digest {
			t.Errorf("serves %s, want %s", got, before.Status.Artifact.Digest)
		}
		w.events.await(t, "platform: Warning ArtifactVerificationFailed verifying artifact: checking tree "+before.Status.Artifact.Digest+": content does not match the digest")
	})
}

// wake nudges a source as a local commit does.
func (w *world) wake(name string) {
	w.controller.Wake(types.NamespacedName{Namespace: w.namespace, Name: name})
}

// look wakes a source and returns when it has looked at its remote and is done with that: it is never
// worked on twice at a time, so a second look begins after the first.
func (w *world) look(name string) {
	w.t.Helper()
	for range 2 {
		before := w.git.Count("info/refs")
		w.wake(name)
		eventually.True(w.t, "the remote is asked", func() bool { return w.git.Count("info/refs") > before })
	}
}

// paths lists the files of an object's artifact.
func (w *world) paths(object *sourcev1.GitRepository) []string {
	w.t.Helper()
	stored, err := w.store.Get(object.Status.Artifact.Digest)
	check(w.t, err)
	var names []string
	for _, entry := range stored.Index().Entries() {
		names = append(names, entry.Path)
	}
	return names
}

// download returns the digest of what a URL serves, or the status when it is not a success.
func download(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	check(t, err)
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return response.Status
	}
	content, err := io.ReadAll(response.Body)
	check(t, err)
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
