package measure_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"holdfast.dev/holdfast/internal/controller/measure"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/metric"
)

// stock is a cache that holds what it is given.
type stock []runtime.Object

func (s stock) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return fmt.Errorf("nobody reads single objects")
}

func (s stock) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	var items []runtime.Object
	for _, one := range s {
		if fmt.Sprintf("%TList", one) == fmt.Sprintf("%T", list) {
			items = append(items, one)
		}
	}
	return apimeta.SetList(list, items)
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "apps", Name: name} }

func ready(status metav1.ConditionStatus, reason string) []metav1.Condition {
	return []metav1.Condition{{Type: meta.ReadyCondition, Status: status, Reason: reason}}
}

// lines returns the series of a set as text, empty labels left out as Prometheus does.
func lines(t *testing.T, set *metric.Set, prefix string) []string {
	t.Helper()
	families, err := set.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), prefix) {
			continue
		}
		for _, one := range family.GetMetric() {
			var labels []string
			for _, label := range one.GetLabel() {
				if label.GetValue() != "" && !strings.HasPrefix(label.GetName(), "customresource_group") && label.GetName() != "customresource_version" {
					labels = append(labels, label.GetName()+"="+label.GetValue())
				}
			}
			lines = append(lines, fmt.Sprintf("%s{%s} %g", family.GetName(), strings.Join(labels, ","), one.GetGauge().GetValue()))
		}
	}
	return lines
}

func newResources(t *testing.T, cache stock, kinds ...string) (*metric.Set, *measure.Resources) {
	t.Helper()
	set := metric.New(metric.Options{})
	resources := &measure.Resources{Reader: cache, Leads: func() bool { return true }, Set: set}
	if err := resources.Show(kinds...); err != nil {
		t.Fatal(err)
	}
	if err := set.Register(resources); err != nil {
		t.Fatal(err)
	}
	return set, resources
}

// TestInfoIsAsFluxShowsIt: each kind has the labels of the configuration that Flux publishes.
func TestInfoIsAsFluxShowsIt(t *testing.T) {
	t.Parallel()
	artifact := &meta.Artifact{Revision: "main@sha1:1"}
	cases := map[string]struct {
		why string
		one runtime.Object
		of  string
		is  string
	}{
		"GitRepository": {why: "with its address", of: "GitRepository", is: "exported_namespace=apps,name=a,ready=True,revision=main@sha1:1,suspended=false,url=https://git.example/platform",
			one: &sourcev1.GitRepository{ObjectMeta: named("a"), Spec: sourcev1.GitRepositorySpec{URL: "https://git.example/platform"},
				Status: sourcev1.GitRepositoryStatus{Artifact: artifact, Conditions: ready("True", "Succeeded")}}},
		"Credentials": {why: "what opens a door is no label", of: "GitRepository", is: "exported_namespace=apps,name=a,suspended=false,url=https://git.example/platform",
			one: &sourcev1.GitRepository{ObjectMeta: named("a"), Spec: sourcev1.GitRepositorySpec{URL: "https://token@git.example/platform?sig=secret#x"}}},
		"SSH": {why: "the user of an SSH address is part of it", of: "GitRepository", is: "exported_namespace=apps,name=a,suspended=false,url=ssh://git@git.example/platform",
			one: &sourcev1.GitRepository{ObjectMeta: named("a"), Spec: sourcev1.GitRepositorySpec{URL: "ssh://git:secret@git.example/platform"}}},
		"OCIRepository": {why: "the same labels", of: "OCIRepository", is: "exported_namespace=apps,name=a,ready=False,suspended=true,url=oci://registry.example/app",
			one: &sourcev1.OCIRepository{ObjectMeta: named("a"), Spec: sourcev1.OCIRepositorySpec{URL: "oci://registry.example/app", Suspend: true},
				Status: sourcev1.OCIRepositoryStatus{Conditions: ready("False", "OCIPullFailed")}}},
		"Bucket": {why: "with its place", of: "Bucket", is: "bucket_name=b,endpoint=s3.example,exported_namespace=apps,name=a,suspended=false",
			one: &sourcev1.Bucket{ObjectMeta: named("a"), Spec: sourcev1.BucketSpec{Endpoint: "s3.example", BucketName: "b"}}},
		"HelmRepository": {why: "with its address", of: "HelmRepository", is: "exported_namespace=apps,name=a,suspended=false,url=https://charts.example",
			one: &sourcev1.HelmRepository{ObjectMeta: named("a"), Spec: sourcev1.HelmRepositorySpec{URL: "https://charts.example"}}},
		"HelmChart": {why: "with the chart", of: "HelmChart", is: "chart_name=podinfo,chart_version=6.x,exported_namespace=apps,name=a,revision=main@sha1:1,suspended=false",
			one: &sourcev1.HelmChart{ObjectMeta: named("a"), Spec: sourcev1.HelmChartSpec{Chart: "podinfo", Version: "6.x"}, Status: sourcev1.HelmChartStatus{Artifact: artifact}}},
		"ExternalArtifact": {why: "with its revision", of: "ExternalArtifact", is: "exported_namespace=apps,name=a,revision=main@sha1:1,suspended=false",
			one: &sourcev1.ExternalArtifact{ObjectMeta: named("a"), Status: sourcev1.ExternalArtifactStatus{Artifact: artifact}}},
		"Kustomization": {why: "with what it applied and where it comes from", of: "Kustomization", is: "exported_namespace=apps,name=a,ready=Unknown,revision=main@sha1:1,source_name=platform,suspended=false",
			one: &kustomizev1.Kustomization{ObjectMeta: named("a"), Spec: kustomizev1.KustomizationSpec{SourceRef: kustomizev1.CrossNamespaceSourceReference{Name: "platform"}},
				Status: kustomizev1.KustomizationStatus{LastAppliedRevision: "main@sha1:1", Conditions: ready("Unknown", "Progressing")}}},
		"HelmRelease": {why: "with the chart that it released last", of: "HelmRelease", is: "chart_app_version=6.1,chart_name=podinfo,chart_source_name=charts,exported_namespace=apps,name=a,revision=6.1.2,suspended=false",
			one: &helmv2.HelmRelease{ObjectMeta: named("a"), Spec: helmv2.HelmReleaseSpec{Chart: &helmv2.HelmChartTemplate{Spec: helmv2.HelmChartTemplateSpec{SourceRef: helmv2.CrossNamespaceObjectReference{Name: "charts"}}}},
				Status: helmv2.HelmReleaseStatus{History: helmv2.Snapshots{{ChartName: "podinfo", ChartVersion: "6.1.2", AppVersion: "6.1"}}}}},
		"ChartRef": {why: "or where its chart is", of: "HelmRelease", is: "chart_ref_name=podinfo,exported_namespace=apps,name=a,suspended=false",
			one: &helmv2.HelmRelease{ObjectMeta: named("a"), Spec: helmv2.HelmReleaseSpec{ChartRef: &helmv2.CrossNamespaceSourceReference{Name: "podinfo"}}}},
		"Receiver": {why: "without its path, which may be all that protects it", of: "Receiver", is: "exported_namespace=apps,name=a,ready=True,suspended=false",
			one: &notificationv1.Receiver{ObjectMeta: named("a"), Status: notificationv1.ReceiverStatus{WebhookPath: "/hook/secret", Conditions: ready("True", "Succeeded")}}},
		"Alert": {why: "which has no readiness", of: "Alert", is: "exported_namespace=apps,name=a,suspended=true",
			one: &notificationv1beta3.Alert{ObjectMeta: named("a"), Spec: notificationv1beta3.AlertSpec{Suspend: true}}},
		"Provider": {why: "which has no readiness", of: "Provider", is: "exported_namespace=apps,name=a,suspended=false",
			one: &notificationv1beta3.Provider{ObjectMeta: named("a")}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, _ := newResources(t, stock{c.one}, c.of)
			want := strings.Split("customresource_kind="+c.of+","+c.is, ",")
			got := lines(t, set, "gotk_resource_info")
			if len(got) != 1 {
				t.Fatalf("%s: got %v", c.why, got)
			}
			labels := strings.Split(strings.TrimSuffix(strings.TrimPrefix(got[0], "gotk_resource_info{"), "} 1"), ",")
			sortStrings := cmp.Transformer("set", func(list []string) map[string]bool {
				set := map[string]bool{}
				for _, one := range list {
					set[one] = true
				}
				return set
			})
			if diff := cmp.Diff(want, labels, sortStrings); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

// TestKindsDoNotCollide: the labels of one metric differ by kind, which a registry must accept.
func TestKindsDoNotCollide(t *testing.T) {
	t.Parallel()
	set, _ := newResources(t, stock{
		&sourcev1.GitRepository{ObjectMeta: named("a")},
		&kustomizev1.Kustomization{ObjectMeta: named("a"), Status: kustomizev1.KustomizationStatus{Conditions: []metav1.Condition{
			{Type: meta.ReadyCondition, Status: metav1.ConditionFalse}, {Type: meta.StalledCondition, Status: metav1.ConditionTrue},
		}}},
	}, "GitRepository", "Kustomization")
	want := []string{
		"gotk_reconcile_condition{kind=GitRepository,name=a,namespace=apps,status=False,type=Ready} 0",
		"gotk_reconcile_condition{kind=GitRepository,name=a,namespace=apps,status=True,type=Ready} 0",
		"gotk_reconcile_condition{kind=GitRepository,name=a,namespace=apps,status=Unknown,type=Ready} 1",
		"gotk_reconcile_condition{kind=Kustomization,name=a,namespace=apps,status=False,type=Ready} 1",
		"gotk_reconcile_condition{kind=Kustomization,name=a,namespace=apps,status=False,type=Stalled} 0",
		"gotk_reconcile_condition{kind=Kustomization,name=a,namespace=apps,status=True,type=Ready} 0",
		"gotk_reconcile_condition{kind=Kustomization,name=a,namespace=apps,status=True,type=Stalled} 1",
		"gotk_reconcile_condition{kind=Kustomization,name=a,namespace=apps,status=Unknown,type=Ready} 0",
		"gotk_reconcile_condition{kind=Kustomization,name=a,namespace=apps,status=Unknown,type=Stalled} 0",
	}
	if diff := cmp.Diff(want, lines(t, set, "gotk_reconcile_condition")); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	if got := lines(t, set, "gotk_resource_info"); len(got) != 2 {
		t.Errorf("info: %v", got)
	}
}

// TestHoldsOutliveRestarts: what the status says of a hold is shown although nobody said it today, and
// what is gone is shown no more.
func TestHoldsOutliveRestarts(t *testing.T) {
	t.Parallel()
	unit := func(name string, conditions []metav1.Condition) *kustomizev1.Kustomization {
		return &kustomizev1.Kustomization{ObjectMeta: named(name), Status: kustomizev1.KustomizationStatus{Conditions: conditions}}
	}
	set, _ := newResources(t, stock{
		unit("held", ready("False", "RolledBack")), unit("frozen", ready("False", "Frozen")), unit("fine", ready("True", "ReconciliationSucceeded")),
	}, "Kustomization")
	for _, name := range []string{"fine", "gone"} {
		set.Hold(record.Subject{Kind: "Kustomization", Namespace: "apps", Name: name}, true)
	}
	lines(t, set, "") // the first scrape learns, the second shows
	want := []string{
		"holdfast_unit_frozen{kind=Kustomization,name=frozen,namespace=apps} 1",
		"holdfast_unit_held{kind=Kustomization,name=frozen,namespace=apps} 1",
		"holdfast_unit_held{kind=Kustomization,name=held,namespace=apps} 1",
	}
	if diff := cmp.Diff(want, lines(t, set, "holdfast_unit")); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
}

// TestFollowersAreSilent: two replicas must not make two of each resource.
func TestFollowersAreSilent(t *testing.T) {
	t.Parallel()
	set, resources := newResources(t, stock{&kustomizev1.Kustomization{ObjectMeta: named("a")}}, "Kustomization")
	resources.Leads = func() bool { return false }
	if got := lines(t, set, "gotk"); got != nil {
		t.Errorf("a follower shows %v", got)
	}
}

func TestUnknownKind(t *testing.T) {
	t.Parallel()
	if err := (&measure.Resources{}).Show("Pod"); err == nil {
		t.Error("a kind without a description was accepted")
	}
}

func TestReconcilerIsTimed(t *testing.T) {
	t.Parallel()
	set := metric.New(metric.Options{})
	inner := reconcile.Func(func(context.Context, ctrl.Request) (ctrl.Result, error) {
		return ctrl.Result{RequeueAfter: 7}, context.Canceled
	})
	request := ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "apps", Name: "a"}}
	result, err := measure.Reconciler(set, "Kustomization", inner).Reconcile(t.Context(), request)
	if err == nil || result.RequeueAfter != 7 {
		t.Errorf("the result was lost: %v, %v", result, err)
	}
	if got := lines(t, set, "gotk_reconcile_duration_seconds"); len(got) != 1 {
		t.Errorf("durations: %v", got)
	}
	if _, err := measure.Reconciler(nil, "Kustomization", inner).Reconcile(t.Context(), request); err == nil {
		t.Error("without a set, nothing was reconciled")
	}
}
