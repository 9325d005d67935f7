package operator_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/operator"
	"holdfast.dev/holdfast/internal/stage/source/git/gittest"
)

// ownLabel marks resources that a test's own daemon serves; the shared one leaves them alone.
const ownLabel = "test.holdfast.dev/own"

// patience is how long a state may take to come about before a test fails.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // tests wait more than they work
		panic(err)
	}
	code := m.Run()
	if everybodys != nil {
		everybodys.halt()
	}
	os.Exit(code)
}

// daemon is a running operator, and what it sends to the cluster.
type daemon struct {
	*operator.Operator
	traffic *traffic
	halt    func()
}

// start runs a daemon. Its halt ends it as a signal would; calling it twice is fine.
func start(config *rest.Config, change func(*operator.Config)) (*daemon, error) {
	dir, err := os.MkdirTemp("", "holdfast-operator-test-*")
	if err != nil {
		return nil, err
	}
	d := &daemon{traffic: newTraffic()}
	settings := operator.Config{REST: rest.CopyConfig(config), Dir: dir, InstallCRDs: true}
	if change != nil {
		change(&settings)
	}
	settings.REST.Wrap(d.traffic.wrap)
	if d.Operator, err = operator.New(context.Background(), settings); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	d.halt = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			fmt.Fprintln(os.Stderr, "the daemon ended badly:", err)
		}
		if settings.Dir == dir {
			_ = os.RemoveAll(dir)
		}
	})
	return d, nil
}

var (
	everybodys *daemon
	startOnce  sync.Once
	startErr   error
)

// shared returns the daemon that most tests share. Requests are told apart by namespace.
func shared(t *testing.T) *daemon {
	t.Helper()
	config := clustertest.Start(t)
	startOnce.Do(func() {
		everybodys, startErr = start(config, func(c *operator.Config) { c.WatchSelector = "!" + ownLabel })
	})
	check(t, startErr)
	return everybodys
}

// world is a namespace with a Git repository, and a daemon that delivers from one to the other.
type world struct {
	t         *testing.T
	namespace string
	client    client.WithWatch // the test's own, uncached and uncounted
	git       *gittest.Server
	repo      *gittest.Repository
	daemon    *daemon
	own       bool
	home      string // namespace of the daemon, where releases are kept
}

// newWorld makes a world that the shared daemon serves.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := emptyWorld(t)
	w.daemon = shared(t)
	return w
}

// newOwnWorld makes a world with a daemon of its own, which starts with the settings that change
// makes.
func newOwnWorld(t *testing.T, change func(*operator.Config)) *world {
	t.Helper()
	shared(t) // the definitions are installed once, not by many at a time
	w := emptyWorld(t)
	w.own = true
	w.daemon = w.start(change)
	return w
}

// start runs a further daemon for this world alone.
func (w *world) start(change func(*operator.Config)) *daemon {
	w.t.Helper()
	d, err := start(clustertest.Start(w.t), func(c *operator.Config) {
		c.Namespaces, c.InstallCRDs = []string{w.namespace}, false
		if change != nil {
			change(c)
		}
	})
	check(w.t, err)
	w.t.Cleanup(d.halt)
	return d
}

func emptyWorld(t *testing.T) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme, helmv2.AddToScheme, notificationv1.AddToScheme} {
		check(t, add(scheme))
	}
	direct, err := client.NewWithWatch(clustertest.Start(t), client.Options{Scheme: scheme})
	check(t, err)
	w := &world{t: t, client: direct, home: "flux-system", namespace: clustertest.Namespace(t), git: gittest.Serve(t, gittest.Options{})}
	w.repo = w.git.Repository(t, "platform")
	return w
}

// commit adds files to the repository, tells the daemon, and returns the revision. A file without
// content is removed.
func (w *world) commit(files map[string]string) string {
	w.t.Helper()
	change := gittest.Change{Files: map[string]string{}}
	for path, content := range files {
		if content == "" {
			change.Delete = append(change.Delete, path)
			continue
		}
		change.Files[path] = content
	}
	hash := w.repo.Apply(w.t, change)
	w.daemon.WakeSource(w.namespace, sourceName)
	return "main@sha1:" + hash
}

// sourceName is what worlds call their GitRepository.
const sourceName = "platform"

// source creates the GitRepository. Only a wake-up makes it look: its interval is an hour.
func (w *world) source() {
	w.t.Helper()
	w.create(&sourcev1.GitRepository{
		ObjectMeta: w.meta(sourceName),
		Spec: sourcev1.GitRepositorySpec{
			URL: w.repo.URL(), Interval: metav1.Duration{Duration: time.Hour},
			Reference: &sourcev1.GitRepositoryRef{Branch: gittest.DefaultBranch},
		},
	})
}

// unit creates a Kustomization of the repository's folder of the same name, in the world's namespace.
func (w *world) unit(name string, changes ...func(*kustomizev1.Kustomization)) {
	w.t.Helper()
	unit := &kustomizev1.Kustomization{
		ObjectMeta: w.meta(name),
		Spec: kustomizev1.KustomizationSpec{
			Interval: metav1.Duration{Duration: time.Hour}, Prune: true, Path: "./" + name, TargetNamespace: w.namespace,
			SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: sourceName},
		},
	}
	for _, change := range changes {
		change(unit)
	}
	w.create(unit)
}

// deliver makes a repository with files, its source and one unit, and waits until all is in place.
func (w *world) deliver(name string, files map[string]string, changes ...func(*kustomizev1.Kustomization)) *kustomizev1.Kustomization {
	w.t.Helper()
	revision := w.commit(files)
	w.source()
	w.unit(name, changes...)
	return w.ready(name, revision)
}

func (w *world) meta(name string) metav1.ObjectMeta {
	made := metav1.ObjectMeta{Namespace: w.namespace, Name: name}
	if w.own {
		made.Labels = map[string]string{ownLabel: "yes"}
	}
	return made
}

func (w *world) create(o client.Object) {
	w.t.Helper()
	check(w.t, w.client.Create(context.Background(), o))
}

// change edits a unit.
func (w *world) change(name string, change func(*kustomizev1.Kustomization)) {
	w.t.Helper()
	unit := w.get(name)
	before := unit.DeepCopy()
	change(unit)
	check(w.t, w.client.Patch(context.Background(), unit, client.MergeFrom(before)))
}

func (w *world) get(name string) *kustomizev1.Kustomization {
	w.t.Helper()
	var unit kustomizev1.Kustomization
	check(w.t, w.client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: name}, &unit))
	return &unit
}

// ask requests a visit by annotation, as people do, and waits for the echo.
func (w *world) ask(name string) *kustomizev1.Kustomization {
	w.t.Helper()
	token := string(uuid.NewUUID())
	w.change(name, func(u *kustomizev1.Kustomization) {
		if u.Annotations == nil {
			u.Annotations = map[string]string{}
		}
		u.Annotations[meta.ReconcileRequestAnnotation] = token
	})
	return w.until(name, "handled", func(u *kustomizev1.Kustomization) bool { return u.Status.LastHandledReconcileAt == token })
}

// remove deletes a unit and waits until it is gone.
func (w *world) remove(name string) {
	w.t.Helper()
	unit := w.get(name)
	check(w.t, w.client.Delete(context.Background(), unit))
	await(w, unit, "gone", func(u *kustomizev1.Kustomization) bool { return u == nil })
}

// events returns what was told of a unit, "Type Reason message", in no order.
func (w *world) events(name string) []string {
	w.t.Helper()
	var list corev1.EventList
	check(w.t, w.client.List(context.Background(), &list, client.InNamespace(w.namespace)))
	var told []string
	for _, event := range list.Items {
		if event.InvolvedObject.Kind == kustomizev1.KustomizationKind && event.InvolvedObject.Name == name {
			told = append(told, event.Type+" "+event.Reason+" "+event.Message)
		}
	}
	return told
}

// told waits until an event of a unit contains a text, and returns the event.
func (w *world) told(name, text string) corev1.Event {
	w.t.Helper()
	event, found := find(w, &corev1.EventList{}, func(e *corev1.Event) bool {
		return e.InvolvedObject.Name == name && strings.Contains(e.Message, text)
	})
	if !found {
		w.t.Fatalf("nobody was told of %s: %q\ntold: %s", name, text, strings.Join(w.events(name), "\n"))
	}
	return *event
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
