package gitrepository_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"holdfast.dev/holdfast/config/crd"
	"holdfast.dev/holdfast/internal/controller/gitrepository"
	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
	"holdfast.dev/holdfast/internal/store"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// world is a namespace of a real API server, a Git server, and a controller between them.
type world struct {
	t         *testing.T
	client    client.Client // the test's own, uncached and uncounted
	namespace string
	git       *gittest.Server
	storeDir  string
	cacheDir  string

	store      *store.Store
	controller *gitrepository.Controller
	artifacts  *httptest.Server
	traffic    *traffic
	events     *events
	stop       func()
	restart    func()
}

func newWorld(t *testing.T, options gittest.Options) *world {
	t.Helper()
	admin := clustertest.Start(t)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, sourcev1.AddToScheme, apiextensionsv1.AddToScheme} {
		check(t, add(scheme))
	}
	direct, err := client.New(admin, client.Options{Scheme: scheme})
	check(t, err)
	w := &world{
		t: t, client: direct, namespace: clustertest.Namespace(t), git: gittest.Serve(t, options),
		storeDir: t.TempDir(), cacheDir: t.TempDir(),
	}
	w.install()
	w.start(admin, scheme)
	return w
}

// install creates the kind, once for all tests.
func (w *world) install() {
	w.t.Helper()
	definitions, err := crd.All()
	check(w.t, err)
	for _, definition := range definitions {
		if definition.Spec.Names.Kind != sourcev1.GitRepositoryKind {
			continue
		}
		if err := w.client.Create(context.Background(), definition); err != nil && !apierrors.IsAlreadyExists(err) {
			w.t.Fatal(err)
		}
	}
	eventually.True(w.t, "the kind is served", func() bool {
		return w.client.List(context.Background(), &sourcev1.GitRepositoryList{}, client.InNamespace(w.namespace)) == nil
	})
}

// start runs a controller for the world's namespace. Calling stop and start again is a restart.
func (w *world) start(admin *rest.Config, scheme *runtime.Scheme) {
	w.t.Helper()
	kept, err := store.Open(w.storeDir, store.Options{})
	check(w.t, err)
	w.store, w.traffic, w.events = kept, &traffic{}, &events{}
	w.artifacts = httptest.NewServer(kept.Handler())
	counted := rest.CopyConfig(admin)
	counted.Wrap(w.traffic.wrap)
	skip := true
	mgr, err := ctrl.NewManager(counted, ctrl.Options{
		Scheme:     scheme,
		Metrics:    server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{w.namespace: {}}},
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	check(w.t, err)
	w.controller, err = gitrepository.Setup(mgr, gitrepository.Deps{
		Deps:    source.Deps{Client: mgr.GetClient(), Events: w.events, Store: kept, PublicURL: w.artifacts.URL + "/"},
		Fetcher: git.New(git.Options{Dir: w.cacheDir}),
	}, source.Options{})
	check(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		w.artifacts.Close()
		check(w.t, errors.Join(<-ended, kept.Close()))
	})
	w.t.Cleanup(w.stop)
	w.restart = func() {
		w.stop()
		w.start(admin, scheme)
	}
}

// create makes an object and tells when it has been handled for the first time.
func (w *world) create(name string, spec sourcev1.GitRepositorySpec) {
	w.t.Helper()
	if spec.Interval.Duration == 0 {
		spec.Interval.Duration = time.Hour // only what wakes it makes it move
	}
	if spec.Reference == nil {
		spec.Reference = &sourcev1.GitRepositoryRef{Branch: gittest.DefaultBranch}
	}
	object := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Spec: spec}
	check(w.t, w.client.Create(context.Background(), object))
}

func (w *world) get(name string) *sourcev1.GitRepository {
	w.t.Helper()
	var object sourcev1.GitRepository
	check(w.t, w.client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: name}, &object))
	return &object
}

// until waits for an object to be in a state and returns it.
func (w *world) until(name, state string, is func(*sourcev1.GitRepository) bool) *sourcev1.GitRepository {
	w.t.Helper()
	var object *sourcev1.GitRepository
	defer func() {
		if w.t.Failed() {
			w.t.Logf("last seen: %s", describe(object))
		}
	}()
	eventually.True(w.t, name+" is "+state, func() bool {
		object = w.get(name)
		return is(object)
	})
	return object
}

// change patches an object.
func (w *world) change(name string, change func(*sourcev1.GitRepository)) {
	w.t.Helper()
	object := w.get(name)
	before := object.DeepCopy()
	change(object)
	check(w.t, w.client.Patch(context.Background(), object, client.MergeFrom(before)))
}

// ask requests a reconcile by annotation, as people do, and waits for the echo.
func (w *world) ask(name string) *sourcev1.GitRepository {
	w.t.Helper()
	token := fmt.Sprint(time.Now().UnixNano())
	w.change(name, func(object *sourcev1.GitRepository) {
		object.Annotations = map[string]string{"reconcile.fluxcd.io/requestedAt": token}
	})
	return w.until(name, "handled", func(object *sourcev1.GitRepository) bool {
		return object.Status.LastHandledReconcileAt == token
	})
}

func isReady(object *sourcev1.GitRepository) bool {
	return is(object, "Ready", metav1.ConditionTrue) && object.Status.ObservedGeneration == object.Generation
}

func is(object *sourcev1.GitRepository, kind string, status metav1.ConditionStatus) bool {
	return condition(object, kind).Status == status
}

func condition(object *sourcev1.GitRepository, kind string) metav1.Condition {
	for _, condition := range object.Status.Conditions {
		if condition.Type == kind {
			return condition
		}
	}
	return metav1.Condition{}
}

func describe(object *sourcev1.GitRepository) string {
	var out strings.Builder
	fmt.Fprintf(&out, "generation %d, observed %d\n", object.Generation, object.Status.ObservedGeneration)
	for _, c := range object.Status.Conditions {
		fmt.Fprintf(&out, "  %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return out.String()
}

// traffic records the requests that a controller sends, but for watches and lists.
type traffic struct {
	mu   sync.Mutex
	seen []string
}

func (r *traffic) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if strings.Contains(request.URL.Path, "/namespaces/") && request.URL.Query().Get("watch") == "" && request.URL.Query().Get("limit") == "" {
			r.mu.Lock()
			r.seen = append(r.seen, request.Method+" "+request.URL.Path[strings.Index(request.URL.Path, "/namespaces/")+12:])
			r.mu.Unlock()
		}
		return next.RoundTrip(request)
	})
}

// take returns the requests since the last call, without the namespace in their paths.
func (r *traffic) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []string{}
	for _, line := range r.seen {
		method, path, _ := strings.Cut(line, " ")
		_, path, _ = strings.Cut(path, "/")
		out = append(out, method+" "+path)
	}
	r.seen = nil
	return out
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// events records what people are told.
type events struct {
	mu   sync.Mutex
	seen []string
}

func (e *events) AnnotatedEventf(object runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := object.(*sourcev1.GitRepository).Name
	e.seen = append(e.seen, name+": "+kind+" "+reason+" "+fmt.Sprintf(format, args...))
}

func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := append([]string{}, e.seen...)
	e.seen = nil
	return out
}

// await waits until exactly this has been told, and forgets all that was told so far.
func (e *events) await(t *testing.T, want string) {
	t.Helper()
	var told []string
	defer func() {
		if t.Failed() {
			t.Logf("told: %s", strings.Join(told, "\n"))
		}
	}()
	eventually.True(t, "people are told: "+want, func() bool {
		told = append(told, e.take()...)
		return slices.Contains(told, want)
	})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
