package helmchart_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"holdfast.dev/holdfast/config/crd"
	"holdfast.dev/holdfast/internal/controller/helmchart"
	"holdfast.dev/holdfast/internal/controller/helmrepository"
	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/source/helm"
	"holdfast.dev/holdfast/internal/stage/source/transport"
	"holdfast.dev/holdfast/internal/store"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type silent struct{}

func (silent) AnnotatedEventf(runtime.Object, map[string]string, string, string, string, ...any) {}

// world is a namespace of a real API server, the controllers of charts, and a Helm repository that wants a
// password.
type world struct {
	t         *testing.T
	client    client.Client
	namespace string
	store     *store.Store
	served    *httptest.Server

	mu       sync.Mutex
	versions []string
	asked    []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	admin := clustertest.Start(t)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, sourcev1.AddToScheme, apiextensionsv1.AddToScheme} {
		must(t, add(scheme))
	}
	direct, err := client.New(admin, client.Options{Scheme: scheme})
	must(t, err)
	w := &world{t: t, client: direct, namespace: clustertest.Namespace(t), versions: []string{"1.0.0"}}
	w.served = httptest.NewServer(http.HandlerFunc(w.answer))
	t.Cleanup(w.served.Close)
	w.install()
	w.store, err = store.Open(t.TempDir(), store.Options{})
	must(t, err)
	skip := true
	mgr, err := ctrl.NewManager(admin, ctrl.Options{
		Scheme: scheme, Metrics: server.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: &skip},
		Cache:  cache.Options{DefaultNamespaces: map[string]cache.Config{w.namespace: {}}},
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	must(t, err)
	deps := source.Deps{Client: mgr.GetClient(), Events: silent{}, Store: w.store, PublicURL: "http://artifacts/"}
	remotes, library := &helm.Client{Pool: &transport.Pool{}, Agent: "test"}, helm.NewLibrary(0)
	_, err = helmrepository.Setup(mgr, helmrepository.Deps{Deps: deps, Fetcher: remotes, Library: library}, source.Options{})
	must(t, err)
	_, err = helmchart.Setup(mgr, helmchart.Deps{Deps: deps, Client: remotes, Library: library}, source.Options{})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, errors.Join(<-ended, w.store.Close()))
	})
	return w
}

func (w *world) install() {
	definitions, err := crd.All()
	must(w.t, err)
	for _, definition := range definitions {
		if definition.Spec.Group != sourcev1.GroupVersion.Group {
			continue
		}
		if err := w.client.Create(context.Background(), definition); err != nil && !apierrors.IsAlreadyExists(err) {
			w.t.Fatal(err)
		}
	}
	for _, list := range []client.ObjectList{&sourcev1.HelmChartList{}, &sourcev1.HelmRepositoryList{}, &sourcev1.GitRepositoryList{}, &sourcev1.BucketList{}} {
		eventually.True(w.t, "the kinds are served", func() bool {
			return w.client.List(context.Background(), list, client.InNamespace(w.namespace)) == nil
		})
	}
}

func pack(t *testing.T, chart string, files map[string]string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		must(t, archive.WriteHeader(&tar.Header{Name: chart + "/" + name, Mode: 0o644, Size: int64(len(files[name]))}))
		_, err := archive.Write([]byte(files[name]))
		must(t, err)
	}
	must(t, archive.Close())
	must(t, zipped.Close())
	return packed.Bytes()
}

func chartFiles(version string) map[string]string {
	return map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: web\nversion: " + version + "\n", "values.yaml": "a: 1\n", "prod.yaml": "a: 2\n",
		"templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
	}
}

func (w *world) answer(response http.ResponseWriter, request *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, request.URL.Path)
	if user, password, _ := request.BasicAuth(); user != "me" || password != "hunter22" {
		http.Error(response, "who are you", http.StatusUnauthorized)
		return
	}
	if request.URL.Path == "/index.yaml" {
		text := "apiVersion: v1\nentries:\n  web:\n"
		for _, version := range w.versions {
			text += fmt.Sprintf("  - version: %s\n    urls:\n    - web-%s.tgz\n", version, version)
		}
		_, _ = io.WriteString(response, text)
		return
	}
	version := strings.TrimSuffix(strings.TrimPrefix(request.URL.Path, "/web-"), ".tgz")
	_, _ = response.Write(pack(w.t, "web", chartFiles(version)))
}

func (w *world) downloads() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := 0
	for _, path := range w.asked {
		if strings.HasSuffix(path, ".tgz") {
			count++
		}
	}
	return count
}

func (w *world) publish(version string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.versions = append(w.versions, version)
}

func (w *world) create(objects ...client.Object) {
	w.t.Helper()
	for _, object := range objects {
		object.SetNamespace(w.namespace)
		must(w.t, w.client.Create(context.Background(), object))
	}
}

// ask makes somebody ask for a reconcile.
func (w *world) ask(object client.Object, token string) {
	w.t.Helper()
	before, _ := object.DeepCopyObject().(client.Object)
	object.SetAnnotations(map[string]string{meta.ReconcileRequestAnnotation: token})
	must(w.t, w.client.Patch(context.Background(), object, client.MergeFrom(before)))
}

// chart waits until a chart's Ready condition has a message.
func (w *world) chart(name, message string) *sourcev1.HelmChart {
	w.t.Helper()
	var object sourcev1.HelmChart
	eventually.True(w.t, "chart "+name+" says "+message, func() bool {
		_ = w.client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: name}, &object)
		return strings.Contains(source.Condition(object.Status.Conditions, meta.ReadyCondition).Message, message)
	})
	return &object
}

func (w *world) files(artifact *meta.Artifact) []string {
	w.t.Helper()
	kept, err := w.store.Get(artifact.Digest)
	must(w.t, err)
	var names []string
	for _, entry := range kept.Index().Entries() {
		names = append(names, entry.Path)
	}
	return names
}

var hour = metav1.Duration{Duration: time.Hour}

func (w *world) repository() *sourcev1.HelmRepository {
	repository := &sourcev1.HelmRepository{
		ObjectMeta: metav1.ObjectMeta{Name: "charts"},
		Spec:       sourcev1.HelmRepositorySpec{URL: w.served.URL, Interval: hour, SecretRef: &meta.LocalObjectReference{Name: "login"}},
	}
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "login"}, StringData: map[string]string{"username": "me", "password": "hunter22"}}, repository)
	return repository
}

func helmChart(name string, change func(*sourcev1.HelmChartSpec)) *sourcev1.HelmChart {
	object := &sourcev1.HelmChart{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: sourcev1.HelmChartSpec{
		Chart: "web", Version: "1.x", Interval: hour, SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: sourcev1.HelmRepositoryKind, Name: "charts"},
	}}
	if change != nil {
		change(&object.Spec)
	}
	return object
}

func TestChartOfRepository(t *testing.T) {
	w := newWorld(t)
	w.create(helmChart("web", nil))
	w.chart("web", "failed to get source")
	repository := w.repository()
	first := w.chart("web", "pulled 'web' chart with version '1.0.0'")
	ready := source.Condition(first.Status.Conditions, meta.ReadyCondition)
	if ready.Reason != "ChartPullSucceeded" || first.Status.Artifact.Revision != "1.0.0" || first.Status.ObservedChartName != "web" {
		t.Errorf("status = %+v", first.Status)
	}
	if diff := cmp.Diff([]string{"web/Chart.yaml", "web/prod.yaml", "web/templates/a.yaml", "web/values.yaml"}, w.files(first.Status.Artifact)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	w.publish("1.1.0")
	w.publish("2.0.0")
	must(t, w.client.Get(context.Background(), client.ObjectKeyFromObject(repository), repository))
	w.ask(repository, "now")
	w.chart("web", "version '1.1.0'")
	if got := w.downloads(); got != 2 {
		t.Errorf("%d downloads, want one for each version", got)
	}
	must(t, w.client.Get(context.Background(), client.ObjectKeyFromObject(repository), repository))
	if !strings.HasPrefix(repository.Status.Artifact.Revision, "sha256:") || !strings.Contains(source.Condition(repository.Status.Conditions, meta.ReadyCondition).Message, "stored artifact: revision 'sha256:") {
		t.Errorf("repository = %+v", repository.Status)
	}
	w.create(helmChart("prod", func(spec *sourcev1.HelmChartSpec) { spec.ValuesFiles = []string{"values.yaml", "prod.yaml"} }))
	prod := w.chart("prod", "packaged 'web' chart with version '1.1.0+1' and merged values files [values.yaml prod.yaml]")
	kept, err := w.store.Get(prod.Status.Artifact.Digest)
	must(t, err)
	if text, err := kept.Read("web/values.yaml"); err != nil || string(text) != "a: 2\n" {
		t.Errorf("values = %q, %v", text, err)
	}
	w.create(helmChart("none", func(spec *sourcev1.HelmChartSpec) { spec.Version = "7.x" }))
	none := w.chart("none", "invalid chart reference")
	if source.Condition(none.Status.Conditions, meta.StalledCondition).Reason != "InvalidChartReference" {
		t.Errorf("conditions = %+v", none.Status.Conditions)
	}
	w.create(helmChart("signed", func(spec *sourcev1.HelmChartSpec) {
		spec.Verify = &sourcev1.HelmChartVerification{Provider: "cosign"}
	}))
	if signed := w.chart("signed", "chart verification error"); signed.Status.Artifact != nil {
		t.Error("a chart was kept whose signature nobody verified")
	}
}

func TestChartOfRegistry(t *testing.T) {
	w := newWorld(t)
	registered := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(registered.Close)
	host := strings.TrimPrefix(registered.URL, "http://")
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer(pack(t, "web", chartFiles("1.4.0")), "application/vnd.cncf.helm.chart.content.v1.tar+gzip"))
	must(t, err)
	reference, err := name.ParseReference(host + "/charts/web:1.4.0")
	must(t, err)
	must(t, remote.Write(reference, image))
	w.create(&sourcev1.HelmRepository{
		ObjectMeta: metav1.ObjectMeta{Name: "charts"},
		Spec:       sourcev1.HelmRepositorySpec{URL: "oci://" + host + "/charts", Type: sourcev1.HelmRepositoryTypeOCI, Insecure: true},
	}, helmChart("web", nil))
	if got := w.chart("web", "pulled 'web' chart with version '1.4.0'"); got.Status.Artifact.Revision != "1.4.0" {
		t.Errorf("artifact = %+v", got.Status.Artifact)
	}
	var repository sourcev1.HelmRepository
	must(t, w.client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: "charts"}, &repository))
	if len(repository.Status.Conditions) > 0 || len(repository.Finalizers) > 0 {
		t.Errorf("a repository of type oci is static: %+v", repository.Status)
	}
}

// commit gives a GitRepository an artifact, as its controller would.
func (w *world) commit(hash string, files map[string]string) {
	w.t.Helper()
	var entries []tree.Entry
	for name, text := range files {
		entries = append(entries, tree.Entry{Path: name, Hash: "test:" + text, Size: int64(len(text)), Mode: 0o644})
	}
	kept, err := w.store.Put(context.Background(), store.Snapshot{
		Revision: "main@sha1:" + hash, Entries: entries,
		Open: func(entry tree.Entry) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(files[entry.Path])), nil
		},
	}, nil)
	must(w.t, err)
	repository := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "platform"}}
	if err := w.client.Get(context.Background(), client.ObjectKeyFromObject(repository), repository); apierrors.IsNotFound(err) {
		repository.Spec = sourcev1.GitRepositorySpec{URL: "https://example.org/platform", Interval: hour}
		w.create(repository)
	}
	path := store.PathOf("GitRepository", w.namespace, "platform", hash)
	must(w.t, w.store.Publish(path, kept.Digest()))
	repository.Status.Artifact = &meta.Artifact{Path: path, URL: "http://artifacts/" + path, Revision: "main@sha1:" + hash, Digest: kept.Digest(), LastUpdateTime: metav1.Now()}
	must(w.t, w.client.Status().Update(context.Background(), repository))
}

func TestChartOfGit(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for name, text := range chartFiles("0.1.0") {
		files["charts/web/"+name] = text
	}
	git := func(spec *sourcev1.HelmChartSpec) {
		spec.Chart, spec.Version, spec.SourceRef = "./charts/web", "", sourcev1.LocalHelmChartSourceReference{Kind: sourcev1.GitRepositoryKind, Name: "platform"}
	}
	w.create(helmChart("web", git), helmChart("each", func(spec *sourcev1.HelmChartSpec) {
		git(spec)
		spec.ReconcileStrategy = sourcev1.ReconcileStrategyRevision
	}))
	first, second := strings.Repeat("a", 40), strings.Repeat("b", 40)
	w.commit(first, files)
	one := w.chart("web", "packaged 'web' chart with version '0.1.0'")
	w.chart("each", "packaged 'web' chart with version '0.1.0+aaaaaaaaaaaa'")
	files["charts/web/templates/a.yaml"] += "data: {changed: 'yes'}\n"
	w.commit(second, files)
	w.chart("each", "version '0.1.0+bbbbbbbbbbbb'")
	eventually.True(t, "the other chart has seen the commit", func() bool {
		must(t, w.client.Get(context.Background(), client.ObjectKeyFromObject(one), one))
		return one.Status.ObservedSourceArtifactRevision == "main@sha1:"+second
	})
	if one.Status.Artifact.Revision != "0.1.0" {
		t.Errorf("a commit that changes no version is no new chart: %+v", one.Status.Artifact)
	}
	files["charts/web/Chart.yaml"] = strings.Replace(files["charts/web/Chart.yaml"], "0.1.0", "0.2.0", 1)
	w.commit(strings.Repeat("c", 40), files)
	w.chart("web", "version '0.2.0'")
}
