package follow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/object"
)

const patience = 20 * time.Second

// world is a follower of a real cluster, and somebody who writes to it.
type world struct {
	t         *testing.T
	namespace string
	cluster   *kube.Cluster
	follower  *Follower
	lock      sync.Mutex
	changes   map[object.Ref]int
	came      chan struct{}
}

func newWorld(t *testing.T, as string) *world {
	t.Helper()
	cluster, err := kube.Connect("", clustertest.Start(t), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, namespace: clustertest.Namespace(t), cluster: cluster, changes: map[object.Ref]int{}, came: make(chan struct{}, 1)}
	watching := cluster
	if as != "" {
		if watching, err = cluster.As(kube.Identity{User: as}); err != nil {
			t.Fatal(err)
		}
	}
	w.follower = New(watching, w.changed)
	t.Cleanup(w.follower.Stop)
	return w
}

func (w *world) changed(ref object.Ref) {
	w.lock.Lock()
	w.changes[ref]++
	w.lock.Unlock()
	select {
	case w.came <- struct{}{}:
	default:
	}
}

// await waits until the follower has told of that many changes.
func (w *world) await(ref object.Ref, count int) {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		w.lock.Lock()
		got := w.changes[ref]
		w.lock.Unlock()
		if got > count {
			w.t.Fatalf("told of %d changes of %s, want %d", got, ref, count)
		}
		if got == count {
			return
		}
		select {
		case <-w.came:
		case <-deadline:
			w.t.Fatalf("told of %d changes of %s, want %d", got, ref, count)
		}
	}
}

func (w *world) ref(name string) object.Ref {
	return object.Ref{Version: "v1", Kind: "ConfigMap", Namespace: w.namespace, Name: name}
}

func (w *world) write(ref object.Ref, value string) {
	w.t.Helper()
	body := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + ref.Name + `","namespace":"` + ref.Namespace + `"},"data":{"value":"` + value + `"}}`
	if _, err := w.cluster.Apply(w.t.Context(), ref, []byte(body), kube.ApplyOptions{Manager: "somebody"}); err != nil {
		w.t.Fatal(err)
	}
}

// value reads what the follower has, "" for nothing.
func (w *world) value(ref object.Ref) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	u, err := w.follower.Get(ctx, ref)
	if err != nil {
		w.t.Fatal(err)
	}
	if u == nil {
		return ""
	}
	value, _, _ := unstructured.NestedString(u.Object, "data", "value")
	return value
}

func TestFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	ref, other := w.ref("values"), w.ref("other")
	if got := w.value(ref); got != "" {
		t.Errorf("before it exists: %q", got)
	}
	w.write(ref, "one")
	w.await(ref, 1)
	if got := w.value(ref); got != "one" {
		t.Errorf("created: %q", got)
	}
	w.write(ref, "two")
	w.await(ref, 2)
	if got := w.value(ref); got != "two" {
		t.Errorf("changed: %q", got)
	}
	w.write(other, "x") // nobody asked for it
	if err := w.cluster.Delete(t.Context(), ref, kube.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.await(ref, 3)
	if got := w.value(ref); got != "" {
		t.Errorf("deleted: %q", got)
	}
	w.await(other, 0)
	if got := w.value(other); got != "x" {
		t.Errorf("another: %q", got)
	}
	if u, _ := w.follower.Get(t.Context(), other); len(u.GetManagedFields()) > 0 {
		t.Error("managed fields take memory, and nobody reads them")
	}
}

// TestManyAtOnce: whoever asks shares one watch.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	ref := w.ref("values")
	w.write(ref, "one")
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if got := w.value(ref); got != "one" {
				t.Errorf("got %q", got)
			}
		})
	}
	group.Wait()
	if count := w.follower.Watches(); count != 1 {
		t.Errorf("%d watches of one object", count)
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.follower.linger = 20 * time.Millisecond
	a, b := w.ref("a"), w.ref("b")
	watches := func(want int) {
		t.Helper()
		eventually.True(t, fmt.Sprintf("there are %d watches", want), func() bool { return w.follower.Watches() == want })
	}
	w.follower.Keep("first", []object.Ref{a, b, a})
	w.follower.Keep("second", []object.Ref{b})
	watches(2)
	w.write(b, "one")
	if got := w.value(b); got != "" && got != "one" {
		t.Errorf("got %q", got)
	}
	w.follower.Keep("first", nil)
	watches(1)
	w.write(b, "two")
	eventually.True(t, "the one that is kept is followed", func() bool { return w.value(b) == "two" })
	w.follower.Keep("second", nil)
	watches(0)
	if got := w.value(b); got != "two" { // asked for again
		t.Errorf("got %q", got)
	}
	watches(0) // nobody keeps it
}

// TestNotAllowed: an object that cannot be read is an error, and news as soon as it can be.
func TestNotAllowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "nobody-"+time.Now().Format("150405.000000"))
	ref := w.ref("values")
	w.write(ref, "one")
	_, err := w.follower.Get(t.Context(), ref)
	if err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Fatalf("got error %v", err)
	}
	w.await(ref, 0)
	roles := w.cluster.Dynamic().Resource(schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"})
	binding := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": map[string]any{"name": "view"},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
		"subjects": []any{map[string]any{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated"}},
	}}
	if _, err := roles.Namespace(w.namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.await(ref, 1)
	if got := w.value(ref); got != "one" {
		t.Errorf("got %q", got)
	}
}

func TestCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for why, ref := range map[string]object.Ref{
		"no matches for kind":     {Group: "example.org", Version: "v1", Kind: "Nothing", Namespace: w.namespace, Name: "a"},
		"namespace not specified": {Version: "v1", Kind: "ConfigMap", Name: "a"},
	} {
		if _, err := w.follower.Get(t.Context(), ref); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("got error %v, want %q", err, why)
		}
	}
}

// TestGetObeysItsContext: a server that does not answer holds nobody.
func TestGetObeysItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.follower.Get(ctx, w.ref("values")); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	w.follower.Stop()
	if _, err := w.follower.Get(t.Context(), w.ref("more")); !errors.Is(err, context.Canceled) {
		t.Errorf("after Stop: error %v", err)
	}
}
