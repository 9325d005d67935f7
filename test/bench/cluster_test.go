package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/localcluster/clustertest"
)

// cluster is the API server that is delivered to, and what the benchmark sees of it.
type cluster struct {
	api        client.WithWatch
	kubeconfig string
}

func newCluster(b *testing.B) *cluster {
	b.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme} {
		if err := add(scheme); err != nil {
			b.Fatal(err)
		}
	}
	config := clustertest.Start(b)
	config.QPS = -1
	api, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, clustertest.Kubeconfig(b), 0o600); err != nil {
		b.Fatal(err)
	}
	return &cluster{api: api, kubeconfig: file}
}

// parallel runs n steps, sixteen at a time.
func (c *cluster) parallel(b *testing.B, n int, step func(i int) error) {
	b.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error { return step(i) })
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}

// standings follows all units of a namespace.
type standings struct {
	lock    sync.Mutex
	applied map[string]string // revision that a unit is ready at
	latest  map[string][]metav1.Condition
	changed chan struct{}
}

func (c *cluster) follow(ctx context.Context, b *testing.B, namespace string) *standings {
	b.Helper()
	s := &standings{applied: map[string]string{}, latest: map[string][]metav1.Condition{}, changed: make(chan struct{}, 1)}
	go c.events(ctx, &kustomizev1.KustomizationList{}, []client.ListOption{client.InNamespace(namespace)}, func(event watch.Event) {
		unit, ok := event.Object.(*kustomizev1.Kustomization)
		if !ok || event.Type == watch.Deleted {
			return
		}
		s.lock.Lock()
		s.applied[unit.Name], s.latest[unit.Name] = "", unit.Status.Conditions
		if apimeta.IsStatusConditionTrue(unit.Status.Conditions, "Ready") && unit.Generation == unit.Status.ObservedGeneration {
			s.applied[unit.Name] = unit.Status.LastAppliedRevision
		}
		s.lock.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
	})
	return s
}

// await returns when so many units are ready, at a certain revision unless that is empty.
func (s *standings) await(b *testing.B, count int, revision string, limit time.Duration) {
	b.Helper()
	deadline := time.After(limit)
	for {
		ready := 0
		s.lock.Lock()
		for _, applied := range s.applied {
			if applied != "" && (revision == "" || applied == revision) {
				ready++
			}
		}
		s.lock.Unlock()
		if ready >= count {
			return
		}
		select {
		case <-s.changed:
		case <-deadline:
			b.Fatalf("%d of %d units were ready after %s; %s", ready, count, limit, s.laggard(revision))
		}
	}
}

// events hands over what a watch brings, and watches again when the server ends it, as it does with
// custom resources when their definition settles.
func (c *cluster) events(ctx context.Context, list client.ObjectList, selected []client.ListOption, take func(watch.Event)) {
	for ctx.Err() == nil {
		watcher, err := c.api.Watch(ctx, list, selected...)
		if err != nil {
			continue
		}
		for event := range watcher.ResultChan() {
			take(event)
		}
		watcher.Stop()
	}
}

// laggard describes one unit that is not where it should be.
func (s *standings) laggard(revision string) string {
	s.lock.Lock()
	defer s.lock.Unlock()
	for name, applied := range s.applied {
		if applied == "" || revision != "" && applied != revision {
			return fmt.Sprintf("%s is at %q: %+v", name, applied, s.latest[name])
		}
	}
	return "some do not exist"
}

// awaitValue returns when a ConfigMap has a value.
func (c *cluster) awaitValue(ctx context.Context, b *testing.B, namespace, name string) (await func(value string)) {
	b.Helper()
	values := make(chan string, 1000)
	selected := []client.ListOption{client.InNamespace(namespace), client.MatchingFields{"metadata.name": name}}
	go c.events(ctx, &corev1.ConfigMapList{}, selected, func(event watch.Event) {
		if live, ok := event.Object.(*corev1.ConfigMap); ok && event.Type != watch.Deleted {
			values <- live.Data["value"]
		}
	})
	return func(value string) {
		b.Helper()
		deadline := time.After(2 * time.Minute)
		for {
			select {
			case latest := <-values:
				if latest == value {
					return
				}
			case <-deadline:
				var live corev1.ConfigMap
				_ = c.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &live)
				b.Fatalf("ConfigMap %s did not get the value %q; it is %q, managed by %v", name, value, live.Data["value"], live.ManagedFields)
			}
		}
	}
}

// ask makes the source look at its remote, as a webhook would.
func (c *cluster) ask(ctx context.Context, b *testing.B, namespace string) {
	b.Helper()
	patch := []byte(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"` + time.Now().Format(time.RFC3339Nano) + `"}}}`)
	source := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Name: "fleet", Namespace: namespace}}
	if err := c.api.Patch(ctx, source, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		b.Fatal(err)
	}
}

// rawLimit is what the API server can do at best: the same objects dry-run and then applied, sixteen
// requests at a time, by a client that does nothing else.
func (c *cluster) rawLimit(ctx context.Context, b *testing.B, f *fleet) time.Duration {
	b.Helper()
	namespace := clustertest.Namespace(b)
	other := &fleet{shape: f.shape, namespace: namespace}
	began := time.Now()
	for _, dry := range []bool{true, false} {
		c.parallel(b, f.units*f.objects, func(i int) error {
			options := []client.PatchOption{client.ForceOwnership, client.FieldOwner("raw")}
			if dry {
				options = append(options, client.DryRunAll)
			}
			u, err := decode(other.manifest(i/f.objects, i%f.objects, "first"))
			if err != nil {
				return err
			}
			return c.api.Patch(ctx, u, client.Apply, options...) //nolint:staticcheck // the raw patch is what is measured
		})
	}
	return time.Since(began)
}
