package storage_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	helmchartcommon "helm.sh/helm/v4/pkg/chart/common"
	helmchart "helm.sh/helm/v4/pkg/chart/v2"
	helmcommon "helm.sh/helm/v4/pkg/release/common"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	helmstorage "helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"holdfast.dev/holdfast/internal/helm/storage"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

func record(version int, status helmcommon.Status) *helmrelease.Release {
	return &helmrelease.Release{
		Name: "web", Namespace: "prod", Version: version, Manifest: "---\n# Source: web/templates/a.yaml\nkind: ConfigMap\n",
		Config: map[string]any{"replicas": 2.0}, Labels: map[string]string{"team": "blue"},
		Info: &helmrelease.Info{
			FirstDeployed: time.Unix(100, 0).UTC(), LastDeployed: time.Unix(200, 0).UTC(),
			Status: status, Description: "Upgrade complete", Notes: "hello",
		},
		Chart: &helmchart.Chart{
			Metadata:  &helmchart.Metadata{APIVersion: "v2", Name: "web", Version: "1.2.3", AppVersion: "7"},
			Templates: []*helmchartcommon.File{{Name: "templates/a.yaml", Data: []byte("kind: ConfigMap")}},
		},
		Hooks: []*helmrelease.Hook{{Name: "probe", Kind: "Pod", Events: []helmrelease.HookEvent{helmrelease.HookTest}}},
	}
}

type fixture struct {
	ours *storage.Storage
	helm *helmstorage.Storage // Helm's own, on the same namespace
	kube kubernetes.Interface
	ns   string
}

func open(t *testing.T) fixture {
	t.Helper()
	config := clustertest.Start(t)
	namespace := clustertest.Namespace(t)
	cluster, err := kube.Connect("", config, kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ours, err := storage.Open(cluster, namespace)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return fixture{ours, helmstorage.Init(driver.NewSecrets(client.CoreV1().Secrets(namespace))), client, namespace}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHelmReadsOurs(t *testing.T) {
	f, ctx := open(t), context.Background()
	must(t, f.ours.Create(ctx, record(1, helmcommon.StatusPendingInstall)))
	must(t, f.ours.Update(ctx, record(1, helmcommon.StatusDeployed)))
	got, err := f.helm.Deployed("web")
	must(t, err)
	read, _ := got.(*helmrelease.Release)
	want := record(1, helmcommon.StatusDeployed)
	for _, name := range driver.GetSystemLabels() {
		delete(read.Labels, name)
	}
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".parent" || p.Last().String() == ".dependencies" }, cmp.Ignore())
	if diff := cmp.Diff(want, read, ignore, cmp.AllowUnexported(helmchart.Chart{})); diff != "" {
		t.Errorf("as Helm reads it (-want +got):\n%s", diff)
	}
	secret, err := f.kube.CoreV1().Secrets(f.ns).Get(ctx, "sh.helm.release.v1.web.v1", metav1.GetOptions{})
	must(t, err)
	if secret.Type != "helm.sh/release.v1" || secret.Labels["status"] != "deployed" || secret.Labels["team"] != "blue" {
		t.Errorf("the Secret is not like Helm's: type %s, labels %v", secret.Type, secret.Labels)
	}
}

func TestWeReadHelms(t *testing.T) {
	f, ctx := open(t), context.Background()
	must(t, f.helm.Create(record(1, helmcommon.StatusSuperseded)))
	must(t, f.helm.Create(record(2, helmcommon.StatusDeployed)))
	history, err := f.ours.History(ctx, "web")
	must(t, err)
	heads, err := f.ours.Heads(ctx, "web")
	must(t, err)
	want := []storage.Head{{Version: 2, Status: helmcommon.StatusDeployed}, {Version: 1, Status: helmcommon.StatusSuperseded}}
	if diff := cmp.Diff(want, heads); diff != "" {
		t.Errorf("heads (-want +got):\n%s", diff)
	}
	if len(history) != 2 || history[0].Version != 2 || history[0].Config["replicas"] != 2.0 {
		t.Errorf("history = %v", history)
	}
	if _, err := f.ours.Get(ctx, "web", 7); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Get of what is not there: %v", err)
	}
	if err := f.ours.Create(ctx, record(2, helmcommon.StatusPendingUpgrade)); !errors.Is(err, storage.ErrExists) {
		t.Errorf("Create of what is there: %v", err)
	}
	if none, err := f.ours.Heads(ctx, "other"); err != nil || len(none) != 0 {
		t.Errorf("Heads of an unknown release = %v, %v", none, err)
	}
}

func TestLifecycle(t *testing.T) {
	f, ctx := open(t), context.Background()
	for version := 1; version <= 5; version++ {
		status := helmcommon.StatusSuperseded
		switch version {
		case 2:
			status = helmcommon.StatusDeployed
		case 4:
			status = helmcommon.StatusFailed
		case 5:
			status = helmcommon.StatusPendingUpgrade
		}
		must(t, f.ours.Create(ctx, record(version, status)))
	}
	states := func() string {
		heads, err := f.ours.Heads(ctx, "web")
		must(t, err)
		return fmt.Sprint(heads)
	}
	must(t, f.ours.Trim(ctx, "web", 2))
	if got, want := states(), "[{5 pending-upgrade} {2 deployed}]"; got != want {
		t.Errorf("trimmed to %s, want %s: what is deployed is never lost", got, want)
	}
	locked, err := f.ours.Get(ctx, "web", 5)
	must(t, err)
	must(t, f.ours.Unlock(ctx, locked, time.Unix(300, 0)))
	unlocked, err := f.ours.Get(ctx, "web", 5)
	must(t, err)
	if unlocked.Info.Status != helmcommon.StatusFailed || unlocked.Info.Description != "Release unlocked from stale 'pending-upgrade' state" {
		t.Errorf("unlocked: %s, %q", unlocked.Info.Status, unlocked.Info.Description)
	}
	must(t, f.ours.Create(ctx, record(6, helmcommon.StatusDeployed)))
	must(t, f.ours.Supersede(ctx, "web", 6))
	if got, want := states(), "[{6 deployed} {5 failed} {2 superseded}]"; got != want {
		t.Errorf("superseded: %s, want %s", got, want)
	}
	must(t, f.ours.Delete(ctx, "web", 2))
	must(t, f.ours.Delete(ctx, "web", 2))
}

func TestObserve(t *testing.T) {
	one, err := storage.Observe(record(1, helmcommon.StatusDeployed), "")
	must(t, err)
	tested := record(1, helmcommon.StatusDeployed)
	tested.Hooks[0].LastRun.Phase = helmrelease.HookPhaseSucceeded
	two, err := storage.Observe(tested, "")
	must(t, err)
	if one.Digest != two.Digest || two.Tests["probe"].Phase != helmrelease.HookPhaseSucceeded {
		t.Errorf("a test that somebody runs is no change of the release: %s, %s", one.Digest, two.Digest)
	}
	tested.Manifest += "# changed"
	three, err := storage.Observe(tested, "")
	must(t, err)
	if three.Digest == one.Digest || three.ConfigDigest != one.ConfigDigest {
		t.Error("another manifest is another release")
	}
	if one.ChartVersion != "1.2.3" || one.AppVersion != "7" || one.Status != "deployed" {
		t.Errorf("snapshot = %+v", one)
	}
}
