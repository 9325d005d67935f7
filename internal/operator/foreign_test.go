package operator_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pack makes an artifact as source-controller does.
func pack(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for name, content := range files {
		check(t, archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}))
		_, err := archive.Write([]byte(content))
		check(t, err)
	}
	check(t, archive.Close())
	check(t, zipped.Close())
	return out.Bytes()
}

// TestForeignArtifacts: a source that another controller serves is as good as ours, as long as it has
// the digest that it claims. Ours leaves suspended ones alone.
func TestForeignArtifacts(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		why    string
		source func(metav1.ObjectMeta) sourcev1.Source
	}{
		"OCIRepository": {why: "images with manifests", source: func(m metav1.ObjectMeta) sourcev1.Source {
			return &sourcev1.OCIRepository{ObjectMeta: m, Spec: sourcev1.OCIRepositorySpec{Suspend: true, URL: "oci://example.org/app", Interval: metav1.Duration{Duration: time.Hour}}}
		}},
		"Bucket": {why: "object stores", source: func(m metav1.ObjectMeta) sourcev1.Source {
			return &sourcev1.Bucket{ObjectMeta: m, Spec: sourcev1.BucketSpec{Suspend: true, BucketName: "b", Endpoint: "example.org", Interval: metav1.Duration{Duration: time.Hour}}}
		}},
		"ExternalArtifact": {why: "any third party", source: func(m metav1.ObjectMeta) sourcev1.Source {
			return &sourcev1.ExternalArtifact{ObjectMeta: m}
		}},
	}
	for kind, tc := range cases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			good := pack(t, map[string]string{"apps/a.yaml": configMap("settings", "color: blue")})
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/bad.tar.gz" {
					_, _ = rw.Write(pack(t, map[string]string{"apps/a.yaml": configMap("settings", "color: black")}))
					return
				}
				_, _ = rw.Write(good)
			}))
			t.Cleanup(server.Close)
			source, _ := tc.source(w.meta("foreign")).(client.Object)
			w.create(source)
			w.unit("apps", func(u *kustomizev1.Kustomization) {
				u.Spec.SourceRef.Kind, u.Spec.SourceRef.Name = kind, "foreign"
			})
			w.failed("apps", "ArtifactFailed", "Source artifact not found, waiting for "+kind+"/"+w.namespace+"/foreign")
			sum := sha256.Sum256(good)
			offer := func(path, revision string) {
				w.offer(source, &meta.Artifact{
					URL: server.URL + path, Path: path[1:], Revision: revision, Digest: "sha256:" + hex.EncodeToString(sum[:]),
					LastUpdateTime: metav1.Now(), Metadata: map[string]string{"org.opencontainers.image.revision": "main@sha1:abc"},
				})
			}
			offer("/good.tar.gz", "v1@sha256:1")
			u := w.ready("apps", "v1@sha256:1")
			if u.Status.LastAppliedOriginRevision != "main@sha1:abc" {
				t.Errorf("%s: the origin is %q", tc.why, u.Status.LastAppliedOriginRevision)
			}
			// The same digest is on our disk: make it one that is not.
			sum = sha256.Sum256([]byte("what it claims to be"))
			offer("/bad.tar.gz", "v2@sha256:2")
			w.failed("apps", "ArtifactFailed", "digest")
			if !holds("color", "blue")(read(w, w.configMap("settings"))) {
				t.Errorf("%s: an artifact with another digest was delivered", tc.why)
			}
		})
	}
}

// offer writes the status of a source, as its controller would.
func (w *world) offer(source client.Object, artifact *meta.Artifact) {
	w.t.Helper()
	live, _ := source.DeepCopyObject().(client.Object)
	check(w.t, w.client.Get(context.Background(), client.ObjectKeyFromObject(source), live))
	patch := client.MergeFrom(live.DeepCopyObject().(client.Object)) //nolint:forcetypeassert // it is one
	switch one := live.(type) {
	case *sourcev1.OCIRepository:
		one.Status.Artifact = artifact
	case *sourcev1.Bucket:
		one.Status.Artifact = artifact
	case *sourcev1.ExternalArtifact:
		one.Status.Artifact = artifact
	}
	check(w.t, w.client.Status().Patch(context.Background(), live, patch))
}
