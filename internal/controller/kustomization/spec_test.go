package kustomization

import (
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/render"
)

func unitWith(change func(*kustomizev1.KustomizationSpec)) *kustomizev1.Kustomization {
	u := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "apps"}}
	u.Spec.Interval.Duration = 10 * time.Minute
	change(&u.Spec)
	return u
}

func TestJob(t *testing.T) {
	unit := unitWith(func(s *kustomizev1.KustomizationSpec) {
		s.Path, s.Prune, s.Force, s.Wait, s.TargetNamespace, s.NamePrefix, s.NameSuffix = "./apps", true, true, true, "web", "a-", "-z"
		s.Timeout = &metav1.Duration{Duration: time.Second}
		s.Components, s.IgnoreMissingComponents = []string{"../c"}, true
		s.BuildMetadata = []kustomizev1.BuildMetadataOption{"originAnnotations"}
		s.Patches = []kustomize.Patch{{Patch: "p", Target: &kustomize.Selector{Kind: "Deployment", LabelSelector: "a=b"}}}
		s.Images = []kustomize.Image{{Name: "n", NewName: "m", NewTag: "t", Digest: "d"}}
		s.CommonMetadata = &kustomizev1.CommonMetadata{Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "2"}}
	})
	job, err := jobOf(unit)
	if err != nil {
		t.Fatal(err)
	}
	want := render.Input{
		Owner: object.Owner{Namespace: "team", Name: "apps"}, Path: "./apps", TargetNamespace: "web", NamePrefix: "a-", NameSuffix: "-z",
		Patches: []render.Patch{{Patch: "p", Target: &render.Selector{Kind: "Deployment", LabelSelector: "a=b"}}},
		Images:  []render.Image{{Name: "n", NewName: "m", NewTag: "t", Digest: "d"}}, Components: []string{"../c"}, IgnoreMissingComponents: true,
		Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "2"}, BuildMetadata: []string{"originAnnotations"},
	}
	if diff := cmp.Diff(want, renderOf(unit)); diff != "" {
		t.Errorf("what the build is told (-want +got):\n%s", diff)
	}
	if job.Timeout != 30*time.Second {
		t.Errorf("the timeout is %s: Flux never waits less than 30 s", job.Timeout)
	}
	if !job.Prune || !job.Force || !job.Wait || job.Self.Kind != "Kustomization" || job.Self.Name != "apps" {
		t.Errorf("job: %+v", job)
	}
}

func TestChecks(t *testing.T) {
	checks, err := checksOf(unitWith(func(s *kustomizev1.KustomizationSpec) {
		s.HealthChecks = []meta.NamespacedObjectKindReference{
			{Kind: "Deployment", Namespace: "web", Name: "shop"}, {APIVersion: "v1", Kind: "Pod", Namespace: "web", Name: "one"},
		}
	}))
	want := []object.Ref{
		{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "web", Name: "shop"}, // a leftover of Flux's first version
		{Version: "v1", Kind: "Pod", Namespace: "web", Name: "one"},
	}
	if diff := cmp.Diff(want, checks); diff != "" || err != nil {
		t.Errorf("checks (-want +got):\n%s%v", diff, err)
	}
}

func TestMistakesStall(t *testing.T) {
	expr := func(version, current string) []kustomize.CustomHealthCheck {
		return []kustomize.CustomHealthCheck{{APIVersion: version, Kind: "K", HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: current}}}
	}
	cases := map[string]struct {
		why, wantReason, wantText string
		change                    func(*kustomizev1.KustomizationSpec)
	}{
		"Expression":        {why: "it does not compile", wantReason: "InvalidCELExpression", wantText: "current", change: func(s *kustomizev1.KustomizationSpec) { s.HealthCheckExprs = expr("v1", "data.(") }},
		"ExpressionVersion": {why: "no such API version", wantReason: "InvalidCELExpression", wantText: "a/b/c", change: func(s *kustomizev1.KustomizationSpec) { s.HealthCheckExprs = expr("a/b/c", "true") }},
		"Pointer": {why: "a path is no JSON pointer", wantReason: "InvalidIgnoreRule", wantText: "spec.replicas", change: func(s *kustomizev1.KustomizationSpec) {
			s.Ignore = []kustomizev1.IgnoreRule{{Paths: []string{"spec.replicas"}}}
		}},
		"Target": {why: "no regular expression", wantReason: "InvalidIgnoreRule", wantText: "(", change: func(s *kustomizev1.KustomizationSpec) {
			s.Ignore = []kustomizev1.IgnoreRule{{Paths: []string{"/spec"}, Target: &kustomize.Selector{Kind: "("}}}
		}},
		"Check": {why: "no such API version", wantReason: "HealthCheckFailed", wantText: "a/b/c", change: func(s *kustomizev1.KustomizationSpec) {
			s.HealthChecks = []meta.NamespacedObjectKindReference{{APIVersion: "a/b/c", Kind: "K", Name: "n"}}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := jobOf(unitWith(tc.change))
			if err == nil || fault.KindOf(err) != fault.Stalled || fault.ReasonOf(err, "") != tc.wantReason || !strings.Contains(err.Error(), tc.wantText) {
				t.Errorf("%s: only its author can help: %v", tc.why, err)
			}
		})
	}
}

func TestInventoryForms(t *testing.T) {
	refs := []object.Ref{
		{Version: "v1", Kind: "ConfigMap", Namespace: "web", Name: "a"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole", Name: "system:x"},
	}
	inventory := inventoryTo(refs)
	want := []kustomizev1.ResourceRef{{ID: "web_a__ConfigMap", Version: "v1"}, {ID: "_system__x_rbac.authorization.k8s.io_ClusterRole", Version: "v1"}}
	if diff := cmp.Diff(want, inventory.Entries); diff != "" {
		t.Errorf("entries as Flux writes them (-want +got):\n%s", diff)
	}
	inventory.Entries = append(inventory.Entries, kustomizev1.ResourceRef{ID: "nonsense"})
	if diff := cmp.Diff(refs, inventoryOf(&kustomizev1.KustomizationStatus{Inventory: inventory})); diff != "" {
		t.Errorf("what cannot be read names no object (-want +got):\n%s", diff)
	}
}
