package operator_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	helmcommon "helm.sh/helm/v4/pkg/release/common"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

// charted is a world whose chart is served as an artifact.
type charted struct {
	*world
	lock   sync.Mutex
	packed map[string][]byte
	server *httptest.Server
	files  map[string]string
	number int
}

// newCharted makes a world with a source of charts.
func newCharted(t *testing.T) *charted {
	t.Helper()
	c := &charted{world: newWorld(t), packed: map[string][]byte{}, files: map[string]string{}}
	c.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c.lock.Lock()
		defer c.lock.Unlock()
		_, _ = rw.Write(c.packed[r.URL.Path])
	}))
	t.Cleanup(c.server.Close)
	c.create(&sourcev1.ExternalArtifact{ObjectMeta: c.meta("chart")})
	return c
}

// chart publishes the next version of the chart: the templates are those of before with some replaced, and
// an empty one is taken away.
func (c *charted) chart(templates map[string]string) string {
	c.t.Helper()
	c.number++
	for name, text := range templates {
		c.files[name] = text
		if text == "" {
			delete(c.files, name)
		}
	}
	version := fmt.Sprintf("1.%d.0", c.number)
	files := map[string]string{"app/Chart.yaml": "apiVersion: v2\nname: app\nversion: " + version + "\nappVersion: \"7\"\n", "app/values.yaml": "color: blue\n"}
	for name, text := range c.files {
		files["app/"+name] = text
	}
	raw := pack(c.t, files)
	sum := sha256.Sum256(raw)
	c.lock.Lock()
	c.packed["/"+version] = raw
	c.lock.Unlock()
	c.offer(&sourcev1.ExternalArtifact{ObjectMeta: c.meta("chart")}, &meta.Artifact{
		URL: c.server.URL + "/" + version, Path: version, Revision: version, Digest: "sha256:" + hex.EncodeToString(sum[:]), LastUpdateTime: metav1.Now(),
	})
	return version
}

// install creates the HelmRelease of the chart.
func (c *charted) install(name string, changes ...func(*helmv2.HelmRelease)) {
	c.t.Helper()
	u := &helmv2.HelmRelease{ObjectMeta: c.meta(name), Spec: helmv2.HelmReleaseSpec{
		Interval: metav1.Duration{Duration: time.Hour},
		ChartRef: &helmv2.CrossNamespaceSourceReference{Kind: sourcev1.ExternalArtifactKind, Name: "chart"},
	}}
	u.Annotations = map[string]string{"holdfast.dev/bake": "0s"}
	for _, change := range changes {
		change(u)
	}
	c.create(u)
}

// adjust edits a HelmRelease.
func (c *charted) adjust(name string, change func(*helmv2.HelmRelease)) {
	c.t.Helper()
	about := &helmv2.HelmRelease{ObjectMeta: c.meta(name)}
	u := read(c.world, about)
	before := u.DeepCopy()
	change(u)
	check(c.t, c.client.Patch(context.Background(), u, client.MergeFrom(before)))
}

func (c *charted) releaseUntil(name, state string, is func(*helmv2.HelmRelease) bool) *helmv2.HelmRelease {
	c.t.Helper()
	about := &helmv2.HelmRelease{ObjectMeta: c.meta(name)}
	return await(c.world, about, state, func(u *helmv2.HelmRelease) bool { return u != nil && is(u) })
}

// released waits until a HelmRelease is ready with a version of the chart.
func (c *charted) released(name, version string) *helmv2.HelmRelease {
	c.t.Helper()
	return c.releaseUntil(name, "ready with chart "+version, func(u *helmv2.HelmRelease) bool {
		return apimeta.IsStatusConditionTrue(u.Status.Conditions, meta.ReadyCondition) && u.Status.LastAttemptedRevision == version &&
			u.Status.ObservedGeneration == u.Generation
	})
}

// spoiled waits until a HelmRelease is not ready for a reason, with a message that contains a text.
func (c *charted) spoiled(name, reason, text string) *helmv2.HelmRelease {
	c.t.Helper()
	return c.releaseUntil(name, "failed: "+reason+": "+text, func(u *helmv2.HelmRelease) bool {
		ready := apimeta.FindStatusCondition(u.Status.Conditions, meta.ReadyCondition)
		return ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == reason && strings.Contains(ready.Message, text)
	})
}

// records returns what `helm history` shows, oldest first, read with Helm's SDK.
func (c *charted) records(name string) []*helmrelease.Release {
	c.t.Helper()
	clients, err := kubernetes.NewForConfig(clustertest.Start(c.t))
	check(c.t, err)
	found, err := storage.Init(driver.NewSecrets(clients.CoreV1().Secrets(c.namespace))).History(name)
	if err != nil && !strings.Contains(err.Error(), "not found") {
		c.t.Fatal(err)
	}
	var records []*helmrelease.Release
	for _, one := range found {
		record, ok := one.(*helmrelease.Release)
		if !ok {
			c.t.Fatalf("a record is a %T", one)
		}
		records = append(records, record)
	}
	slices.SortFunc(records, func(a, b *helmrelease.Release) int { return a.Version - b.Version })
	return records
}

// history writes the records in one line each.
func (c *charted) history(name string) []string {
	c.t.Helper()
	var lines []string
	for _, one := range c.records(name) {
		description, _, _ := strings.Cut(one.Info.Description, ":")
		lines = append(lines, fmt.Sprintf("%d %s %s %s", one.Version, one.Info.Status, one.Chart.Metadata.Version, description))
	}
	return lines
}

func (c *charted) wantHistory(name string, want ...string) {
	c.t.Helper()
	if diff := cmp.Diff(want, c.history(name)); diff != "" {
		c.t.Errorf("helm history (-want +got):\n%s", diff)
	}
}

// colored is a template of a ConfigMap.
func colored(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\ndata:\n  color: {{ .Values.color }}\n  release: {{ .Release.Name }}\n"
}

// TestHelmLifecycle: a release is installed, upgraded and uninstalled, and Helm's own tools see it.
func TestHelmLifecycle(t *testing.T) {
	t.Parallel()
	c := newCharted(t)
	first := c.chart(map[string]string{"templates/a.yaml": colored("a"), "templates/b.yaml": colored("b")})
	c.create(&corev1.Secret{ObjectMeta: c.meta("more"), StringData: map[string]string{"values.yaml": "color: green\n"}})
	c.install("app", func(u *helmv2.HelmRelease) {
		u.Spec.ValuesFrom = []helmv2.ValuesReference{{Kind: "Secret", Name: "more"}}
	})
	u := c.released("app", first)
	a := read(c.world, c.configMap("a"))
	if a == nil || field(a, "data", "color") != "green" || field(a, "data", "release") != "app" {
		t.Fatalf("the object is %v", a)
	}
	if a.GetLabels()["helm.toolkit.fluxcd.io/name"] != "app" || a.GetAnnotations()["meta.helm.sh/release-name"] != "app" || a.GetLabels()["app.kubernetes.io/managed-by"] != "Helm" {
		t.Errorf("labels %v and annotations %v do not say whose it is", a.GetLabels(), a.GetAnnotations())
	}
	if manager := a.GetManagedFields()[0].Manager; manager != "helm-controller" {
		t.Errorf("it was written by %s", manager)
	}
	c.wantHistory("app", "1 deployed "+first+" Install complete")
	if got := u.Status.History; len(got) != 1 || got[0].Version != 1 || got[0].Status != "deployed" || got[0].ChartVersion != first || got[0].AppVersion != "7" || got[0].Action != "install" {
		t.Errorf("status.history: %+v", got.Latest())
	}
	if u.Status.Inventory == nil || len(u.Status.Inventory.Entries) != 2 {
		t.Errorf("status.inventory: %v", u.Status.Inventory)
	}
	// Values that a Secret holds are followed.
	c.edit(c.object("v1", "Secret", "more"), func(s *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(s.Object, "Y29sb3I6IHJlZAo=", "data", "values.yaml")
	})
	await(c.world, c.configMap("a"), "red", holds("color", "red"))
	second := c.chart(map[string]string{"templates/b.yaml": ""})
	await(c.world, c.configMap("b"), "gone", gone)
	u = c.released("app", second)
	c.wantHistory("app", "1 superseded "+first+" Install complete", "2 superseded "+first+" Upgrade complete", "3 deployed "+second+" Upgrade complete")
	if ready := apimeta.FindStatusCondition(u.Status.Conditions, meta.ReadyCondition); ready.Reason != helmv2.UpgradeSucceededReason ||
		ready.Message != fmt.Sprintf("Helm upgrade succeeded for release %s/app.v3 with chart app@%s", c.namespace, second) {
		t.Errorf("Ready: %s: %s", ready.Reason, ready.Message)
	}
	check(t, c.client.Delete(context.Background(), u))
	await(c.world, u, "gone", func(u *helmv2.HelmRelease) bool { return u == nil })
	if read(c.world, c.configMap("a")) != nil {
		t.Error("the object is still there")
	}
	c.wantHistory("app")
}

// TestHelmRollback: a failed upgrade is undone and held, and nothing is tried again until there is a reason
// to: neither in an endless loop nor in silence (flux2 #4772, #5592, #5916).
func TestHelmRollback(t *testing.T) {
	t.Parallel()
	c := newCharted(t)
	first := c.chart(map[string]string{"templates/a.yaml": colored("a"), "templates/web.yaml": deployment("web", "web", 1)})
	c.install("app")
	c.released("app", first)
	bad := c.chart(map[string]string{
		"templates/a.yaml":   strings.Replace(colored("a"), "{{ .Values.color }}", "black", 1),
		"templates/web.yaml": strings.Replace(deployment("web", "web", 1), "app:v1", "app:does-not-exist", 1),
	})
	u := c.spoiled("app", "RolledBack", "Git wants "+bad)
	await(c.world, c.configMap("a"), "back", holds("color", "blue"))
	records := c.history("app")
	if len(records) != 3 || !strings.HasPrefix(records[1], "2 failed "+bad) || records[2] != "3 deployed "+first+" Rollback to 1" {
		t.Errorf("helm history: %q", records)
	}
	for kind, want := range map[string]metav1.ConditionStatus{"Released": "False", "Remediated": "True", "Stalled": "True"} {
		if got := apimeta.FindStatusCondition(u.Status.Conditions, kind); got == nil || got.Status != want {
			t.Errorf("%s: %+v, want %s", kind, got, want)
		}
	}
	if u.Status.Failures != 1 || u.Status.UpgradeFailures != 1 {
		t.Errorf("failures %d, upgrade failures %d", u.Status.Failures, u.Status.UpgradeFailures)
	}
	// Asking for a reconciliation is no reason for another try.
	c.poke("app")
	if got := c.history("app"); len(got) != 3 {
		t.Errorf("it was tried again: %q", got)
	}
	good := c.chart(map[string]string{"templates/web.yaml": deployment("web", "web", 1)})
	c.released("app", good)
	await(c.world, c.configMap("a"), "forward", holds("color", "black"))
}

// poke asks for a reconciliation, and waits for the echo.
func (c *charted) poke(name string, also ...string) *helmv2.HelmRelease {
	c.t.Helper()
	token := time.Now().Format(time.RFC3339Nano)
	c.adjust(name, func(u *helmv2.HelmRelease) {
		for _, key := range append(also, meta.ReconcileRequestAnnotation) {
			u.Annotations[key] = token
		}
	})
	return c.releaseUntil(name, "handled", func(u *helmv2.HelmRelease) bool { return u.Status.LastHandledReconcileAt == token })
}

// TestHelmUpkeep: what somebody deletes comes back, and what somebody changes stays unless it is asked for
// (helm-controller #186, #643).
func TestHelmUpkeep(t *testing.T) {
	t.Parallel()
	c := newCharted(t)
	version := c.chart(map[string]string{"templates/a.yaml": colored("a")})
	c.install("app")
	c.released("app", version)
	c.delete(c.configMap("a"))
	await(c.world, c.configMap("a"), "back", holds("color", "blue"))
	c.edit(c.configMap("a"), set("color", "by hand"))
	c.poke("app")
	if !holds("color", "by hand")(read(c.world, c.configMap("a"))) {
		t.Error("a change was set back although nobody asked for that")
	}
	c.adjust("app", func(u *helmv2.HelmRelease) {
		u.Spec.DriftDetection = &helmv2.DriftDetection{Mode: helmv2.DriftDetectionEnabled}
	})
	await(c.world, c.configMap("a"), "set back", holds("color", "blue"))
	c.wantHistory("app", "1 deployed "+version+" Install complete")
}

// TestHelmHooks: hooks run before and after, one after another; the unit waits for them without a worker.
func TestHelmHooks(t *testing.T) {
	t.Parallel()
	c := newCharted(t)
	hook := func(name, moments, more, image string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: " + name + "\n  annotations:\n    helm.sh/hook: " + moments + "\n" + more +
			"spec:\n  backoffLimit: 0\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n        - name: main\n          image: example.org/app:" + image + "\n"
	}
	first := c.chart(map[string]string{
		"templates/a.yaml":    colored("a"),
		"templates/pre.yaml":  hook("pre", "pre-install,pre-upgrade", "    helm.sh/hook-delete-policy: hook-succeeded,before-hook-creation\n", "v1"),
		"templates/post.yaml": hook("post", "post-install", "", "v1"),
		"templates/test.yaml": hook("check", "test", "", "v1"),
	})
	c.install("app", func(u *helmv2.HelmRelease) { u.Spec.Test = &helmv2.Test{Enable: true} })
	u := c.released("app", first)
	if test := apimeta.FindStatusCondition(u.Status.Conditions, helmv2.TestSuccessCondition); test == nil || test.Status != metav1.ConditionTrue {
		t.Errorf("TestSuccess: %+v", test)
	}
	await(c.world, c.object("batch/v1", "Job", "pre"), "deleted after its success", gone)
	if read(c.world, c.object("batch/v1", "Job", "post")) == nil {
		t.Error("a hook without a policy is gone")
	}
	for _, one := range c.records("app")[0].Hooks {
		if one.LastRun.Phase != helmrelease.HookPhaseSucceeded {
			t.Errorf("hook %s: %+v", one.Name, one.LastRun)
		}
	}
	// One that fails condemns the upgrade before anything of it is written.
	bad := c.chart(map[string]string{
		"templates/a.yaml":   strings.Replace(colored("a"), "{{ .Values.color }}", "black", 1),
		"templates/pre.yaml": hook("pre", "pre-install,pre-upgrade", "", "fails"),
	})
	c.spoiled("app", "RolledBack", "pre-upgrade hook Job/"+c.namespace+"/pre failed")
	if !holds("color", "blue")(read(c.world, c.configMap("a"))) {
		t.Error("the upgrade was written although its hook had failed")
	}
	// And so does a test.
	c.chart(map[string]string{
		"templates/pre.yaml":  "",
		"templates/test.yaml": hook("check", "test", "", "fails"),
	})
	u = c.spoiled("app", "RolledBack", "test hook")
	if test := apimeta.FindStatusCondition(u.Status.Conditions, helmv2.TestSuccessCondition); test == nil || test.Reason != helmv2.TestFailedReason {
		t.Errorf("TestSuccess: %+v", test)
	}
	await(c.world, c.configMap("a"), "back", holds("color", "blue"))
	_ = bad
}

// TestHelmStorage: what others leave in Helm's storage is put in order: a lock of a crash, and a revision
// that somebody made by hand.
func TestHelmStorage(t *testing.T) {
	t.Parallel()
	c := newCharted(t)
	version := c.chart(map[string]string{"templates/a.yaml": colored("a")})
	c.install("app")
	c.released("app", version)
	clients, err := kubernetes.NewForConfig(clustertest.Start(t))
	check(t, err)
	stored := storage.Init(driver.NewSecrets(clients.CoreV1().Secrets(c.namespace)))
	lock := *c.records("app")[0]
	info := *lock.Info
	lock.Version, lock.Info = 2, &info
	lock.Info.Status = helmcommon.StatusPendingUpgrade
	check(t, stored.Create(&lock))
	c.poke("app")
	c.releaseUntil("app", "on revision 3", func(u *helmv2.HelmRelease) bool {
		return u.Status.History.Latest().Version == 3 && u.Status.History.Latest().Status == "deployed"
	})
	c.wantHistory("app", "1 superseded "+version+" Install complete", "2 failed "+version+" Release unlocked from stale 'pending-upgrade' state", "3 deployed "+version+" Upgrade complete")
	// helm uninstall by hand: the release comes back.
	for _, one := range c.records("app") {
		_, err := stored.Delete("app", one.Version)
		check(t, err)
	}
	c.poke("app")
	c.releaseUntil("app", "installed again", func(u *helmv2.HelmRelease) bool {
		return u.Status.History.Latest().Version == 1 || len(c.history("app")) > 0
	})
}

// TestHelmNames: a name that is too long for Helm is cut as Flux does it, and another name is another release.
func TestHelmNames(t *testing.T) {
	t.Parallel()
	c := newCharted(t)
	version := c.chart(map[string]string{"templates/a.yaml": colored("a-{{ .Release.Name | trunc 10 }}")})
	long := strings.Repeat("n", 60)
	c.install(long)
	u := c.released(long, version)
	latest := u.Status.History.Latest()
	if sum := sha256.Sum256([]byte(long)); latest.Name != long[:40]+"-"+hex.EncodeToString(sum[:])[:12] {
		t.Errorf("the release is called %s", latest.Name)
	}
	old := latest.Name
	c.adjust(long, func(u *helmv2.HelmRelease) { u.Spec.ReleaseName = "short" })
	c.releaseUntil(long, "called short", func(u *helmv2.HelmRelease) bool {
		latest := u.Status.History.Latest()
		return latest != nil && latest.Name == "short" && latest.Status == "deployed"
	})
	await(c.world, c.configMap("a-"+long[:10]), "gone", gone)
	c.wantHistory(old)
	c.wantHistory("short", "1 deployed "+version+" Install complete")
}

// TestHelmTemplate: a template of a chart makes a HelmChart, and takes it along when it goes.
func TestHelmTemplate(t *testing.T) {
	t.Parallel()
	c := newCharted(t)
	c.install("app", func(u *helmv2.HelmRelease) {
		u.Spec.ChartRef = nil
		u.Spec.Values = &apiextensionsv1.JSON{Raw: []byte(`{"color":"red"}`)}
		u.Spec.Chart = &helmv2.HelmChartTemplate{Spec: helmv2.HelmChartTemplateSpec{
			Chart: "./app", SourceRef: helmv2.CrossNamespaceObjectReference{Kind: "GitRepository", Name: "nowhere"},
		}}
	})
	made := &sourcev1.HelmChart{ObjectMeta: c.meta(c.namespace + "-app")}
	chart := await(c.world, made, "made", func(h *sourcev1.HelmChart) bool { return h != nil })
	if chart.Spec.Chart != "./app" || chart.Spec.SourceRef.Name != "nowhere" || chart.Spec.Version != "*" {
		t.Errorf("the HelmChart is %+v", chart.Spec)
	}
	u := read(c.world, &helmv2.HelmRelease{ObjectMeta: c.meta("app")})
	check(t, c.client.Delete(context.Background(), u))
	await(c.world, made, "gone", func(h *sourcev1.HelmChart) bool { return h == nil })
	await(c.world, u, "gone", func(u *helmv2.HelmRelease) bool { return u == nil })
}

// TestHelmFromGit: a chart in a Git repository is released, and a commit to it is the next release.
func TestHelmFromGit(t *testing.T) {
	t.Parallel()
	c := newCharted(t)
	about := func(version string) string { return "apiVersion: v2\nname: app\nversion: " + version + "\n" }
	c.commit(map[string]string{
		"charts/app/Chart.yaml": about("1.0.0"), "charts/app/values.yaml": "color: blue\n", "charts/app/templates/a.yaml": colored("a"),
	})
	c.source()
	c.install("app", func(u *helmv2.HelmRelease) {
		u.Spec.ChartRef = nil
		u.Spec.Chart = &helmv2.HelmChartTemplate{Spec: helmv2.HelmChartTemplateSpec{
			Chart: "./charts/app", SourceRef: helmv2.CrossNamespaceObjectReference{Kind: sourcev1.GitRepositoryKind, Name: sourceName},
		}}
	})
	c.released("app", "1.0.0")
	await(c.world, c.configMap("a"), "blue", holds("color", "blue"))
	c.commit(map[string]string{"charts/app/Chart.yaml": about("1.1.0"), "charts/app/values.yaml": "color: red\n"})
	c.released("app", "1.1.0")
	await(c.world, c.configMap("a"), "red", holds("color", "red"))
	c.wantHistory("app", "1 superseded 1.0.0 Install complete", "2 deployed 1.1.0 Upgrade complete")
}
