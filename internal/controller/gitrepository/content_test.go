package gitrepository_test

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

func TestContent(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	repo := w.git.Repository(t, "platform")
	repo.Commit(t, map[string]string{
		"README.md": "# x\n", "logo.png": "x", "apps/web.yaml": "a: 1\n", "apps/.sourceignore": "skip.yaml\n",
		"apps/skip.yaml": "b: 1\n", "infra/net.yaml": "c: 1\n", ".gitignore": "x\n",
	})
	text := func(s string) *string { return &s }
	w.create("platform", sourcev1.GitRepositorySpec{URL: repo.URL()})
	first := w.until("platform", "ready", isReady)

	cases := []struct {
		name, why string
		change    func(*sourcev1.GitRepositorySpec)
		want      []string
	}{
		{"Defaults", "a .sourceignore replaces the list of images", func(*sourcev1.GitRepositorySpec) {},
			[]string{"README.md", "apps/.sourceignore", "apps/web.yaml", "infra/net.yaml", "logo.png"}},
		{"Ignore", "a change of patterns makes a new artifact of the same commit",
			func(spec *sourcev1.GitRepositorySpec) { spec.Ignore = text("/*\n!/infra\n") },
			[]string{"apps/.sourceignore", "infra/net.yaml"}[1:]},
		{"Sparse", "only these folders", func(spec *sourcev1.GitRepositorySpec) { spec.Ignore, spec.SparseCheckout = nil, []string{"./apps"} },
			[]string{"apps/.sourceignore", "apps/web.yaml"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w.change("platform", func(object *sourcev1.GitRepository) { c.change(&object.Spec) })
			object := w.until("platform", "ready", isReady)
			if diff := cmp.Diff(c.want, w.paths(object)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
			if object.Status.Artifact.Revision != first.Status.Artifact.Revision {
				t.Errorf("revision is %s", object.Status.Artifact.Revision)
			}
			if diff := cmp.Diff(object.Spec.Ignore, object.Status.ObservedIgnore); diff != "" {
				t.Errorf("observedIgnore differs:\n%s", diff)
			}
			if diff := cmp.Diff(object.Spec.SparseCheckout, object.Status.ObservedSparseCheckout); diff != "" {
				t.Errorf("observedSparseCheckout differs:\n%s", diff)
			}
		})
	}

	t.Run("SparseFolderIsNotThere", func(t *testing.T) {
		w.change("platform", func(object *sourcev1.GitRepository) { object.Spec.SparseCheckout = []string{"none"} })
		object := w.until("platform", "failing", func(object *sourcev1.GitRepository) bool {
			return is(object, "Ready", metav1.ConditionFalse) && condition(object, "FetchFailed").ObservedGeneration == object.Generation
		})
		if object.Status.Artifact == nil || object.Status.ObservedGeneration == object.Generation {
			t.Errorf("the old artifact stays, and the generation is not done: %s", describe(object))
		}
	})
}

func TestInclude(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	base, top := w.git.Repository(t, "base"), w.git.Repository(t, "top")
	base.Commit(t, map[string]string{"lib/a.yaml": "a: 1\n", "lib/deep/b.yaml": "b: 1\n", "other.yaml": "x: 1\n"})
	top.Commit(t, map[string]string{"main.yaml": "m: 1\n"})
	w.create("top", sourcev1.GitRepositorySpec{URL: top.URL(), Include: []sourcev1.GitRepositoryInclude{
		{GitRepositoryRef: meta.LocalObjectReference{Name: "base"}, FromPath: "lib", ToPath: "vendor/lib"},
		{GitRepositoryRef: meta.LocalObjectReference{Name: "base"}, FromPath: "other.yaml", ToPath: "../../escape.yaml"},
		{GitRepositoryRef: meta.LocalObjectReference{Name: "base"}},
	}})
	waiting := w.until("top", "waiting", func(object *sourcev1.GitRepository) bool {
		return condition(object, "IncludeUnavailable").Reason == "NotFound"
	})
	if !is(waiting, "Ready", metav1.ConditionFalse) || is(waiting, "Stalled", metav1.ConditionTrue) {
		t.Errorf("not waiting: %s", describe(waiting))
	}

	w.create("base", sourcev1.GitRepositorySpec{URL: base.URL()})
	object := w.until("top", "ready as soon as the included one is", isReady)
	want := []string{"base/lib/a.yaml", "base/lib/deep/b.yaml", "base/other.yaml", "escape.yaml", "main.yaml", "vendor/lib/a.yaml", "vendor/lib/deep/b.yaml"}
	if diff := cmp.Diff(want, w.paths(object)); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
	if got := object.Status.IncludedArtifacts; len(got) != 3 || !got[0].HasDigest(w.get("base").Status.Artifact.Digest) {
		t.Errorf("included artifacts are %v", got)
	}

	base.Commit(t, map[string]string{"lib/a.yaml": "a: 2\n"})
	w.wake("base")
	after := w.until("top", "with the new content", func(now *sourcev1.GitRepository) bool {
		return isReady(now) && !now.Status.Artifact.HasDigest(object.Status.Artifact.Digest)
	})
	stored, err := w.store.Get(after.Status.Artifact.Digest)
	check(t, err)
	if content, err := stored.Read("vendor/lib/a.yaml"); err != nil || string(content) != "a: 2\n" {
		t.Errorf("included file is %q (%v)", content, err)
	}

	t.Run("Missing path", func(t *testing.T) {
		w.change("top", func(object *sourcev1.GitRepository) { object.Spec.Include[0].FromPath = "none" })
		failing := w.until("top", "failing", func(object *sourcev1.GitRepository) bool {
			return condition(object, "StorageOperationFailed").Reason == "CopyFailure"
		})
		if diff := cmp.Diff(after.Status.Artifact, failing.Status.Artifact); diff != "" {
			t.Errorf("the artifact must stay (-want +got):\n%s", diff)
		}
	})
	t.Run("Circle", func(t *testing.T) {
		w.change("top", func(object *sourcev1.GitRepository) { object.Spec.Include = object.Spec.Include[2:] })
		w.until("top", "ready", isReady)
		w.change("base", func(object *sourcev1.GitRepository) {
			object.Spec.Include = []sourcev1.GitRepositoryInclude{{GitRepositoryRef: meta.LocalObjectReference{Name: "top"}}}
		})
		w.until("base", "refusing to go round in circles", func(object *sourcev1.GitRepository) bool {
			return condition(object, "IncludeUnavailable").Reason == "CircularInclude"
		})
		w.change("base", func(object *sourcev1.GitRepository) { object.Spec.Include = nil })
		w.until("base", "ready", isReady)
	})
}
