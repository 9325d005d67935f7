package anchor_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/audit/anchor"
)

func keepsTheLast(t *testing.T, kept audit.Anchor) {
	t.Helper()
	if got, err := kept.Last(t.Context()); err != nil || got != (audit.Anchored{}) {
		t.Fatalf("there is nothing yet: %+v %v", got, err)
	}
	for _, text := range []string{"one\n", "two\n"} {
		want := audit.Anchored{Note: text, Verifier: "key"}
		if err := kept.Publish(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		got, err := kept.Last(t.Context())
		got.Verifier = strings.TrimSpace(got.Verifier)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("what was published last is there (-want +got):\n%s%v", diff, err)
		}
	}
}

func TestGitKeepsTheLast(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit.git")
	keepsTheLast(t, anchor.Git{Dir: dir})
	repository, err := git.PlainOpen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := repository.Reference(anchor.Ref, false)
	if err != nil {
		t.Fatal(err)
	}
	commit, err := repository.CommitObject(ref.Hash())
	if err != nil || commit.NumParents() != 1 {
		t.Errorf("the history is kept: %v %v", commit, err)
	}
}

func TestClusterKeepsTheLast(t *testing.T) {
	cluster, err := client.New(clustertest.Start(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	place := anchor.Cluster{Client: cluster, Namespace: "audit-anchor"}
	if _, err := place.Key(t.Context()); err == nil {
		t.Error("without its namespace there is no key yet")
	}
	if err := cluster.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: place.Namespace}}); err != nil {
		t.Fatal(err)
	}
	keepsTheLast(t, place)
	first, err := place.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := place.Key(t.Context())
	if err != nil || first.Verifier != second.Verifier || first.Private.Reveal() != second.Private.Reveal() {
		t.Errorf("the key is made once: %v", err)
	}
	var secret corev1.Secret
	if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: place.Namespace, Name: anchor.Name}, &secret); err != nil {
		t.Fatal(err)
	}
	if secret.Type != anchor.SecretType {
		t.Errorf("the Secret is of type %s", secret.Type)
	}
	var config corev1.ConfigMap
	if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: place.Namespace, Name: anchor.Name}, &config); err != nil {
		t.Fatal(err)
	}
	for name, value := range config.Data {
		if strings.Contains(value, "PRIVATE") {
			t.Errorf("%s of the ConfigMap holds the private key", name)
		}
	}
	wrong := anchor.Cluster{Client: cluster, Namespace: "default"}
	if err := cluster.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: anchor.Name}}); err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Key(t.Context()); err == nil || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("another Secret of that name is not taken for the key: %v", err)
	}
}
