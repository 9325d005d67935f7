package observe_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe"
)

const (
	manager  = "kustomize-controller"
	patience = 20 * time.Second
)

// world is an observer of a real cluster, and somebody who writes to it.
type world struct {
	t         *testing.T
	ctx       context.Context //nolint:containedctx // of one test
	namespace string
	unit      object.Owner
	cluster   *kube.Cluster
	observer  *observe.Observer
	heard     *heard
}

// heard collects events.
type heard struct {
	lock   sync.Mutex
	events []observe.Event
	came   chan struct{}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, clustertest.Start(t), observe.Options{})
}

// newWorldAt observes by way of a configuration, and writes directly.
func newWorldAt(t *testing.T, config *rest.Config, options observe.Options) *world {
	t.Helper()
	namespace := clustertest.Namespace(t)
	direct, err := kube.Connect("", clustertest.Start(t), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	watching, err := kube.Connect("", config, kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	w := &world{
		t: t, ctx: ctx, namespace: namespace, unit: object.Owner{Namespace: "flux-system", Name: namespace},
		cluster: direct, heard: &heard{came: make(chan struct{}, 1)},
	}
	options.Manager, options.Wake = manager, w.heard.hear
	w.observer = observe.New(watching, options)
	t.Cleanup(w.observer.Stop)
	return w
}

func (h *heard) hear(event observe.Event) {
	h.lock.Lock()
	h.events = append(h.events, event)
	h.lock.Unlock()
	select {
	case h.came <- struct{}{}:
	default:
	}
}

func (h *heard) all() []observe.Event {
	h.lock.Lock()
	defer h.lock.Unlock()
	return append([]observe.Event(nil), h.events...)
}

func (h *heard) forget() {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.events = nil
}

// causes returns why a unit was woken for an object since the last forget.
func (h *heard) causes(owner object.Owner, ref object.Ref) []observe.Cause {
	var causes []observe.Cause
	for _, event := range h.all() {
		if event.Owner == owner && event.Ref.Key() == ref.Key() {
			causes = append(causes, event.Cause)
		}
	}
	return causes
}

// await waits until a unit was woken for an object and a cause.
func (w *world) await(ref object.Ref, cause observe.Cause) {
	w.t.Helper()
	w.awaitFor(w.unit, ref, cause)
}

func (w *world) awaitFor(owner object.Owner, ref object.Ref, cause observe.Cause) {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		for _, event := range w.heard.all() {
			if event.Owner == owner && event.Ref.Key() == ref.Key() && event.Cause == cause {
				return
			}
		}
		select {
		case <-w.heard.came:
		case <-deadline:
			w.t.Fatalf("no %s event for %s of %s; state %+v; heard %+v", cause, ref, owner, w.observer.State(ref), w.heard.all())
		}
	}
}

// until waits for a state of an object that no event tells of.
func (w *world) until(ref object.Ref, what string, holds func(observe.State) bool) observe.State {
	w.t.Helper()
	var state observe.State
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("%s, which was to be %s: %+v; stats %+v", ref, what, state, w.observer.Stats())
		}
	})
	eventually.Within(w.t, patience, ref.String()+" is "+what, func() bool {
		state = w.observer.State(ref)
		return holds(state)
	})
	return state
}

func (w *world) claim(refs ...object.Ref) {
	w.t.Helper()
	if err := w.observer.Claim(observe.Claim{Owner: w.unit, Owned: refs}); err != nil {
		w.t.Fatal(err)
	}
}

// object reads YAML, in which NS is the test's namespace, and labels it as the unit's.
func (w *world) object(text string) *unstructured.Unstructured {
	w.t.Helper()
	u := w.plain(text)
	labels := u.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[object.LabelOwnerName], labels[object.LabelOwnerNS] = w.unit.Name, w.unit.Namespace
	u.SetLabels(labels)
	return u
}

func (w *world) plain(text string) *unstructured.Unstructured {
	w.t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(text, "NS", w.namespace)), &u.Object); err != nil {
		w.t.Fatalf("%v in\n%s", err, text)
	}
	return u
}

// apply applies server-side with force, as a manager.
func (w *world) apply(u *unstructured.Unstructured, as string, dryRun bool) *unstructured.Unstructured {
	w.t.Helper()
	body, err := u.MarshalJSON()
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := w.cluster.Apply(w.ctx, object.RefOf(u), body, kube.ApplyOptions{Manager: as, DryRun: dryRun})
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.Object
}

// own applies as we do, and lets the observer see the answer.
func (w *world) own(u *unstructured.Unstructured) *unstructured.Unstructured {
	w.t.Helper()
	answer := w.apply(u, manager, false)
	w.observer.Saw(answer)
	return answer
}

func (w *world) resource(ref object.Ref) dynamic.ResourceInterface {
	w.t.Helper()
	mapping, err := w.cluster.Map(w.ctx, ref)
	if err != nil {
		w.t.Fatal(err)
	}
	if mapping.Namespaced {
		return w.cluster.Dynamic().Resource(mapping.Resource).Namespace(ref.Namespace)
	}
	return w.cluster.Dynamic().Resource(mapping.Resource)
}

func (w *world) get(ref object.Ref) *unstructured.Unstructured {
	w.t.Helper()
	u, err := w.cluster.Get(w.ctx, ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// edit changes an object as kubectl edit does.
func (w *world) edit(ref object.Ref, change func(map[string]any)) *unstructured.Unstructured {
	w.t.Helper()
	for {
		u := w.get(ref)
		change(u.Object)
		answer, err := w.resource(ref).Update(w.ctx, u, metav1.UpdateOptions{FieldManager: "kubectl-edit"})
		if err == nil {
			return answer
		}
		if !strings.Contains(err.Error(), "the object has been modified") {
			w.t.Fatal(err)
		}
	}
}

func (w *world) remove(ref object.Ref) {
	w.t.Helper()
	if err := w.resource(ref).Delete(w.ctx, ref.Name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func set(value any, path ...string) func(map[string]any) {
	return func(u map[string]any) {
		if err := unstructured.SetNestedField(u, value, path...); err != nil {
			panic(fmt.Sprintf("%v: %v", path, err))
		}
	}
}

func unset(path ...string) func(map[string]any) {
	return func(u map[string]any) { unstructured.RemoveNestedField(u, path...) }
}

func replace(text, from, to string) string { return strings.Replace(text, from, to, 1) }

// notBefore compares resource versions.
func notBefore(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order >= 0
}
