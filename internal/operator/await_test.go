package operator_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

// await watches an object until it is in a state, and returns it. An object that does not exist is
// nil.
func await[O client.Object](w *world, about O, state string, is func(O) bool) O {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var seen O
	for ctx.Err() == nil {
		watcher := w.watch(ctx, about)
		if seen = read(w, about); is(seen) {
			watcher.Stop()
			return seen
		}
		for event := range watcher.ResultChan() {
			if event.Type == watch.Error {
				break
			}
			live, ok := event.Object.(O)
			if !ok {
				continue
			}
			if seen = live; event.Type == watch.Deleted {
				var none O
				seen = none
			}
			if is(seen) {
				watcher.Stop()
				return seen
			}
		}
		watcher.Stop()
	}
	w.t.Fatalf("%T %s is never %s:\n%s", about, about.GetName(), state, describe(any(seen)))
	return seen
}

// watch follows one object.
func (w *world) watch(ctx context.Context, about client.Object) watch.Interface {
	w.t.Helper()
	gvk, err := apiutil.GVKForObject(about, w.client.Scheme())
	check(w.t, err)
	gvk.Kind += "List"
	var list client.ObjectList
	if made, err := w.client.Scheme().New(gvk); err == nil {
		list, _ = made.(client.ObjectList)
	} else {
		whole := &unstructured.UnstructuredList{}
		whole.SetGroupVersionKind(gvk)
		list = whole
	}
	if _, whole := any(about).(*unstructured.Unstructured); whole {
		generic := &unstructured.UnstructuredList{}
		generic.SetGroupVersionKind(gvk)
		list = generic
	}
	watcher, err := w.client.Watch(ctx, list, client.InNamespace(about.GetNamespace()), client.MatchingFields{"metadata.name": about.GetName()})
	check(w.t, err)
	return watcher
}

// read returns an object as it is now, or nil.
func read[O client.Object](w *world, about O) O {
	w.t.Helper()
	live, _ := about.DeepCopyObject().(O)
	err := w.client.Get(context.Background(), client.ObjectKeyFromObject(about), live)
	var none O
	if apierrors.IsNotFound(err) {
		return none
	}
	check(w.t, err)
	return live
}

// find watches a namespace until an object is there that is wanted.
func find(w *world, list *corev1.EventList, is func(*corev1.Event) bool) (*corev1.Event, bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	watcher, err := w.client.Watch(ctx, list, client.InNamespace(w.namespace))
	check(w.t, err)
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		if one, ok := event.Object.(*corev1.Event); ok && is(one) {
			return one, true
		}
	}
	return nil, false
}

// until waits for a unit to be in a state, and returns it.
func (w *world) until(name, state string, is func(*kustomizev1.Kustomization) bool) *kustomizev1.Kustomization {
	w.t.Helper()
	about := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	return await(w, about, state, func(u *kustomizev1.Kustomization) bool { return u != nil && is(u) })
}

// fetched waits until the source has a revision.
func (w *world) fetched(revision string) {
	w.t.Helper()
	about := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: sourceName}}
	await(w, about, "on "+revision, func(s *sourcev1.GitRepository) bool {
		return s != nil && s.Status.Artifact != nil && s.Status.Artifact.Revision == revision
	})
}

// ready waits until a unit is in place at a revision.
func (w *world) ready(name, revision string) *kustomizev1.Kustomization {
	w.t.Helper()
	return w.until(name, "ready on "+revision, func(u *kustomizev1.Kustomization) bool {
		return u.Status.ObservedGeneration == u.Generation && u.Status.LastAppliedRevision == revision && isReady(u)
	})
}

// failed waits until a unit is not ready for a reason, with a message that contains a text.
func (w *world) failed(name, reason, text string) *kustomizev1.Kustomization {
	w.t.Helper()
	return w.until(name, "failed: "+reason+": "+text, func(u *kustomizev1.Kustomization) bool {
		ready := condition(u, meta.ReadyCondition)
		return ready.Status == metav1.ConditionFalse && ready.Reason == reason && strings.Contains(ready.Message, text)
	})
}

func isReady(u *kustomizev1.Kustomization) bool {
	return condition(u, meta.ReadyCondition).Status == metav1.ConditionTrue
}

func condition(u *kustomizev1.Kustomization, kind string) metav1.Condition {
	for _, c := range u.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{}
}

// object names an object in the world's namespace, for await.
func (w *world) object(apiVersion, kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetNamespace(w.namespace)
	u.SetName(name)
	return u
}

func (w *world) configMap(name string) *unstructured.Unstructured {
	return w.object("v1", "ConfigMap", name)
}

// holds tells whether an object exists with a value in its data.
func holds(key, value string) func(*unstructured.Unstructured) bool {
	return func(u *unstructured.Unstructured) bool {
		return u != nil && field(u, "data", key) == value
	}
}

func gone(u *unstructured.Unstructured) bool { return u == nil }

// field returns a value of an object as text.
func field(u *unstructured.Unstructured, path ...string) string {
	value, found, err := unstructured.NestedFieldNoCopy(u.Object, path...)
	if err != nil || !found {
		return ""
	}
	return fmt.Sprint(value)
}

// edit changes an object as a person would.
func (w *world) edit(about *unstructured.Unstructured, change func(*unstructured.Unstructured)) {
	w.t.Helper()
	w.editAs("kubectl-edit", about, change)
}

// editAs changes an object under a field manager's name.
func (w *world) editAs(manager string, about *unstructured.Unstructured, change func(*unstructured.Unstructured)) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		live := read(w, about)
		if live == nil {
			w.t.Fatalf("%s %s is not there to be edited", about.GetKind(), about.GetName())
		}
		change(live)
		err := w.client.Update(context.Background(), live, client.FieldOwner(manager))
		if apierrors.IsConflict(err) && time.Now().Before(deadline) {
			continue // somebody else was faster
		}
		check(w.t, err)
		return
	}
}

// delete deletes an object as a person would.
func (w *world) delete(about client.Object) {
	w.t.Helper()
	check(w.t, w.client.Delete(context.Background(), about, client.PropagationPolicy(metav1.DeletePropagationBackground)))
}

// describe writes a state for a message.
func describe(seen any) string {
	if u, ok := seen.(*kustomizev1.Kustomization); ok && u != nil {
		var out strings.Builder
		fmt.Fprintf(&out, "generation %d, observed %d, applied %q, attempted %q\n",
			u.Generation, u.Status.ObservedGeneration, u.Status.LastAppliedRevision, u.Status.LastAttemptedRevision)
		for _, c := range u.Status.Conditions {
			fmt.Fprintf(&out, "  %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
		}
		return out.String()
	}
	if u, ok := seen.(runtime.Object); ok {
		raw, _ := yaml.Marshal(u)
		return string(raw)
	}
	return fmt.Sprint(seen)
}
