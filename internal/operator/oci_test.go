package operator_test

import (
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/stage/source/oci/registrytest"
)

// image creates an OCIRepository of a registry's repository "app".
func (w *world) image(server *registrytest.Server, change func(*sourcev1.OCIRepository)) *sourcev1.OCIRepository {
	w.t.Helper()
	object := &sourcev1.OCIRepository{ObjectMeta: w.meta("image"), Spec: sourcev1.OCIRepositorySpec{
		URL: server.URL("app"), Interval: metav1.Duration{Duration: time.Second},
		Reference: &sourcev1.OCIRepositoryRef{SemVer: "1.x"},
	}}
	if change != nil {
		change(object)
	}
	w.create(object)
	return object
}

// imageLines shows the conditions of an OCIRepository.
func imageLines(object *sourcev1.OCIRepository) []string {
	var lines []string
	for _, c := range object.Status.Conditions {
		lines = append(lines, c.Type+"="+string(c.Status)+" "+c.Reason+": "+c.Message)
	}
	return lines
}

// TestArtifactOfARegistry: what is pushed is delivered, and so is what is pushed next.
func TestArtifactOfARegistry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := registrytest.Serve(t, registrytest.Options{Username: "me", Password: "canary", Tokens: true})
	push := func(tag, color, origin string) string {
		return tag + "@" + server.Push(t, "app", tag, registrytest.Artifact{
			Files: map[string]string{"apps/a.yaml": configMap("settings", "color: "+color), "left/out.yaml": "x"},
			Annotations: map[string]string{
				"org.opencontainers.image.source": "https://example.com/app.git", "org.opencontainers.image.revision": origin,
				"holdfast.dev/signature": "somebody else",
			},
		})
	}
	first := push("1.0.0", "blue", "main@sha1:1")
	w.create(&corev1.Secret{ObjectMeta: w.meta("login"), Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: server.DockerConfig()}})
	w.create(&corev1.ServiceAccount{ObjectMeta: w.meta("puller"), ImagePullSecrets: []corev1.LocalObjectReference{{Name: "login"}}})
	object := w.image(server, func(o *sourcev1.OCIRepository) {
		ignored := "left/"
		o.Spec.ServiceAccountName, o.Spec.Ignore = "puller", &ignored
	})
	w.unit("apps", func(u *kustomizev1.Kustomization) {
		u.Spec.SourceRef.Kind, u.Spec.SourceRef.Name = sourcev1.OCIRepositoryKind, object.Name
	})
	unit := w.ready("apps", first)
	if unit.Status.LastAppliedOriginRevision != "main@sha1:1" {
		t.Errorf("origin revision is %q", unit.Status.LastAppliedOriginRevision)
	}
	seen := await(w, object, "settled", func(o *sourcev1.OCIRepository) bool {
		return apimeta.IsStatusConditionTrue(o.Status.Conditions, meta.ReadyCondition)
	})
	want := []string{
		"Ready=True Succeeded: stored artifact for digest '" + first + "'",
		"ArtifactInStorage=True Succeeded: stored artifact for digest '" + first + "'",
	}
	if diff := cmp.Diff(want, imageLines(seen)); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	artifact := seen.Status.Artifact
	if !strings.HasSuffix(seen.Status.URL, "/ocirepository/"+w.namespace+"/image/latest.tar.gz") || artifact.Metadata["holdfast.dev/signature"] != "" ||
		!strings.HasSuffix(artifact.Path, "/"+strings.TrimPrefix(first, "1.0.0@")+".tar.gz") {
		t.Errorf("status is %+v, %+v", seen.Status, artifact)
	}

	second := push("1.1.0", "red", "main@sha1:2")
	w.ready("apps", second)
	await(w, w.configMap("settings"), "red", holds("color", "red"))
	event := w.told("apps", "settings configured")
	if got := event.Annotations["kustomize.toolkit.fluxcd.io/originRevision"]; got != "main@sha1:2" {
		t.Errorf("the event says origin revision %q", got)
	}
	told := w.told("image", "stored artifact with revision '"+second+"'")
	if !strings.HasSuffix(told.Message, "origin source 'https://example.com/app.git', origin revision 'main@sha1:2'") || told.Reason != "NewArtifact" {
		t.Errorf("event is %s %s", told.Reason, told.Message)
	}
}

// TestRegistryAway: the artifact stays when the registry, or the login, does not.
func TestRegistryAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := registrytest.Serve(t, registrytest.Options{})
	revision := "1.0.0@" + server.Push(t, "app", "1.0.0", registrytest.Artifact{Files: map[string]string{"apps/a.yaml": configMap("settings", "color: blue")}})
	object := w.image(server, nil)
	await(w, object, "ready", func(o *sourcev1.OCIRepository) bool { return o.Status.Artifact.HasRevision(revision) })
	object = read(w, object)
	before := object.DeepCopy()
	object.Spec.Reference = &sourcev1.OCIRepositoryRef{Tag: "missing"}
	object.Spec.Interval.Duration = time.Hour
	check(t, w.client.Patch(t.Context(), object, client.MergeFrom(before)))
	seen := await(w, object, "failed", func(o *sourcev1.OCIRepository) bool {
		return apimeta.IsStatusConditionTrue(o.Status.Conditions, sourcev1.FetchFailedCondition)
	})
	failed := apimeta.FindStatusCondition(seen.Status.Conditions, sourcev1.FetchFailedCondition)
	if failed.Reason != "OCIArtifactPullFailed" || !strings.Contains(failed.Message, "404 Not Found") || !seen.Status.Artifact.HasRevision(revision) {
		t.Errorf("%+v with artifact %+v", failed, seen.Status.Artifact)
	}
}

// TestSignedArtifacts: what nobody signed is not delivered, and what was delivered stays.
func TestSignedArtifacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server, key := registrytest.Serve(t, registrytest.Options{}), registrytest.NewKey(t)
	push := func(tag, color string) string {
		return server.Push(t, "app", tag, registrytest.Artifact{Files: map[string]string{"apps/a.yaml": configMap("settings", "color: "+color)}})
	}
	digest := push("1.0.0", "blue")
	w.create(&corev1.Secret{ObjectMeta: w.meta("keys"), Data: map[string][]byte{"cosign.pub": key.Public}})
	object := w.image(server, func(o *sourcev1.OCIRepository) {
		o.Spec.Verify = &sourcev1.OCIRepositoryVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: "keys"}}
	})
	refused := func(o *sourcev1.OCIRepository) bool {
		return apimeta.IsStatusConditionFalse(o.Status.Conditions, sourcev1.SourceVerifiedCondition)
	}
	seen := await(w, object, "refused", refused)
	verified := apimeta.FindStatusCondition(seen.Status.Conditions, sourcev1.SourceVerifiedCondition)
	if seen.Status.Artifact != nil || verified.Reason != "VerificationError" || !strings.Contains(verified.Message, "verifying the signature using provider 'cosign': no matching signatures") {
		t.Errorf("%+v with artifact %+v", verified, seen.Status.Artifact)
	}
	server.Attach(t, "app", digest, key.Sign(t, registrytest.Payload(digest)))
	seen = await(w, object, "verified", func(o *sourcev1.OCIRepository) bool {
		return apimeta.IsStatusConditionTrue(o.Status.Conditions, sourcev1.SourceVerifiedCondition) && o.Status.Artifact != nil
	})
	if !strings.HasPrefix(seen.Status.Artifact.Metadata["holdfast.dev/signature"], "key SHA256:") {
		t.Errorf("metadata is %v", seen.Status.Artifact.Metadata)
	}
	push("1.1.0", "red")
	if seen = await(w, object, "refused", refused); !seen.Status.Artifact.HasRevision("1.0.0@" + digest) {
		t.Errorf("artifact is %+v", seen.Status.Artifact)
	}
}
