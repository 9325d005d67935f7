package observe_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe"
)

func TestObjectComesAndGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wanted := w.object(configMap)
	ref := object.RefOf(wanted)
	w.claim(ref)
	w.awaitFor(w.unit, object.Ref{}, observe.Synced)
	state := w.observer.State(ref)
	if !state.Known || state.Exists || state.Health.Status != observe.NotFound {
		t.Fatalf("before the apply: %+v", state)
	}

	answer := w.own(wanted)
	state = w.observer.State(ref)
	if !state.Exists || state.Drifted || state.UID != answer.GetUID() || state.Health.Status != observe.Current || state.Owner != w.unit {
		t.Fatalf("after the apply: %+v", state)
	}

	w.remove(ref)
	w.await(ref, observe.Gone)
	if state = w.observer.State(ref); state.Exists || !state.Known {
		t.Fatalf("after the deletion: %+v", state)
	}

	w.own(wanted)
	w.heard.forget()
	w.edit(ref, unset("metadata", "labels", object.LabelOwnerName))
	w.await(ref, observe.Gone) // as far as we can tell

	w.own(wanted)
	w.heard.forget()
	w.edit(ref, set("Disabled", "metadata", "annotations", object.KeyReconcile))
	w.await(ref, observe.RulesChanged)
	if causes := w.heard.causes(w.unit, ref); len(causes) != 1 {
		t.Errorf("woken for %v, want the rules alone", causes)
	}
	w.edit(ref, set("another", "metadata", "labels", object.LabelOwnerName))
	w.await(ref, observe.OwnerChanged)
	if owner := w.observer.State(ref).Owner; owner.Name != "another" {
		t.Errorf("owner is %v", owner)
	}
}

// TestOwnWritesAreSilent: the unit that writes is not woken by what its own writes bring about.
func TestOwnWritesAreSilent(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, clustertest.Start(t), observe.Options{Gather: time.Second})
	wanted := w.object(configMap)
	ref := object.RefOf(wanted)
	w.claim(ref)
	w.awaitFor(w.unit, object.Ref{}, observe.Synced)
	w.own(wanted)
	w.own(w.object(replace(configMap, "blue", "red")))
	last := w.own(w.object(replace(configMap, "blue", "green")))
	// Whatever the watch brings of these writes is over when it brings a later change.
	fence := w.object(replace(configMap, "name: settings", "name: fence"))
	w.claim(ref, object.RefOf(fence))
	w.own(fence)
	w.remove(object.RefOf(fence))
	w.await(object.RefOf(fence), observe.Gone)
	if state := w.observer.State(ref); state.ResourceVersion != last.GetResourceVersion() || state.Drifted {
		t.Errorf("after our writes: %+v", state)
	}
	if causes := w.heard.causes(w.unit, ref); len(causes) > 0 {
		t.Errorf("woken for %v by our own writes", causes)
	}
}

// TestDeletionWithFinalizer: the end of a deletion is told, however long it takes.
func TestDeletionWithFinalizer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wanted := w.object(replace(configMap, "labels:", "finalizers: [example.org/hold], labels:"))
	ref := object.RefOf(wanted)
	w.claim(ref)
	answer := w.own(wanted)
	w.remove(ref)
	w.observer.Removed(ref, answer.GetUID())
	state := w.until(ref, "deleting", func(s observe.State) bool { return s.Deleting })
	if state.Health.Status != observe.Terminating || !state.Exists || state.Drifted {
		t.Fatalf("while it is deleted: %+v", state)
	}
	w.edit(ref, unset("metadata", "finalizers"))
	w.await(ref, observe.Gone)
	if causes := w.heard.causes(w.unit, ref); slices.Contains(causes, observe.Drifted) {
		t.Errorf("woken for %v: the end of our own deletion is no drift", causes)
	}
}

const jobManifest = `
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: NS}
spec:
  ttlSecondsAfterFinished: 1
  template:
    spec:
      restartPolicy: Never
      schedulerName: nobody
      containers: [{name: main, image: example.org/migrate:1}]
`

// TestJobRunsOut: a finished Job that its time to live removes has done its work, and is not brought
// back.
func TestJobRunsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wanted := w.object(jobManifest)
	ref := object.RefOf(wanted)
	w.claim(ref)
	made := w.own(wanted)
	if health := w.observer.State(ref).Health; health.Status != observe.InProgress {
		t.Fatalf("a new Job: %+v", health)
	}
	finish(w, made)
	w.await(ref, observe.HealthChanged)
	state := w.until(ref, "expired", func(s observe.State) bool { return s.Expired })
	if state.Exists || state.Health.Status != observe.Current || !state.Rules.Expires {
		t.Errorf("after its time: %+v", state)
	}
	if causes := w.heard.causes(w.unit, ref); slices.Contains(causes, observe.Gone) {
		t.Errorf("woken for %v", causes)
	}
}

// finish makes the Job's Pod succeed, as a kubelet would tell.
func finish(w *world, made *unstructured.Unstructured) {
	w.t.Helper()
	pods := w.resource(object.Ref{Version: "v1", Kind: "Pod", Namespace: w.namespace})
	var pod string
	eventually.Within(w.t, patience, "the Job has a Pod", func() bool {
		list, err := pods.List(w.ctx, metav1.ListOptions{LabelSelector: "job-name=" + made.GetName()})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(list.Items) > 0 {
			pod = list.Items[0].GetName()
		}
		return pod != ""
	})
	_, err := pods.Patch(w.ctx, pod, types.MergePatchType, []byte(`{"status":{"phase":"Succeeded"}}`), metav1.PatchOptions{}, "status")
	if err != nil {
		w.t.Fatal(err)
	}
}

const widgetDefinition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {size: {type: integer}}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

const widget = `
apiVersion: GROUP/v1
kind: Widget
metadata: {name: gear, namespace: NS}
spec: {size: 3}
`

// define creates the definition of Widgets and waits until they are served.
func (w *world) define(group string) *unstructured.Unstructured {
	w.t.Helper()
	definition := w.plain(strings.ReplaceAll(widgetDefinition, "GROUP", group))
	probe := object.Ref{Group: group, Version: "v1", Kind: "Widget", Namespace: w.namespace, Name: "none"}
	eventually.Within(w.t, patience, group+" is served", func() bool {
		// A definition of the same name may still be on its way out.
		w.apply(definition, "somebody", false)
		_, err := w.cluster.Get(w.ctx, probe)
		served := err != nil && !meta.IsNoMatchError(err) && w.get(object.RefOf(definition)).GetDeletionTimestamp() == nil
		if !served {
			w.cluster.Forget()
		}
		return served
	})
	return definition
}

// TestKindAppearsAndDisappears: a claim on a kind that is not served is no error; its units are
// woken when it is, and when its definition is deleted, its objects are gone.
func TestKindAppearsAndDisappears(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	group := w.namespace + ".example.org"
	wanted := w.object(strings.ReplaceAll(widget, "GROUP", group))
	ref := object.RefOf(wanted)
	w.claim(ref)
	w.awaitFor(w.unit, object.Ref{}, observe.Synced)
	if state := w.observer.State(ref); state.Known || !state.Unserved || state.Health.Status != observe.Unknown {
		t.Fatalf("before the definition: %+v", state)
	}

	definition := w.define(group)
	w.await(object.Ref{Group: group, Kind: "Widget"}, observe.Served)
	w.own(wanted)
	if state := w.observer.State(ref); !state.Known || !state.Exists || state.Unserved {
		t.Fatalf("with the definition: %+v", state)
	}

	w.remove(object.RefOf(definition))
	w.await(ref, observe.Gone)
	state := w.until(ref, "unserved", func(s observe.State) bool { return s.Unserved })
	if state.Exists {
		t.Fatalf("after the definition: %+v", state)
	}

	w.heard.forget()
	w.define(group)
	w.await(object.Ref{Group: group, Kind: "Widget"}, observe.Served)
	w.until(ref, "served again", func(s observe.State) bool { return !s.Unserved && s.Known })
	w.own(wanted)
	w.heard.forget()
	w.remove(ref)
	w.await(ref, observe.Gone)
}

// TestUnitsOwnRules: a unit's expressions judge its objects; another unit has its own opinion.
func TestUnitsOwnRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	group := w.namespace + ".example.org"
	w.define(group)
	wanted := w.object(strings.ReplaceAll(widget, "GROUP", group))
	ref := object.RefOf(wanted)
	exprs := []observe.HealthExpr{{Group: group, Current: "status.phase == 'Running'", Failed: "status.phase == 'Broken'"}}
	if err := w.observer.Claim(observe.Claim{Owner: w.unit, Owned: []object.Ref{ref}, Health: exprs}); err != nil {
		t.Fatal(err)
	}
	w.own(wanted)
	if health := w.observer.State(ref).Health; health.Status != observe.InProgress || !strings.Contains(health.Message, "status") {
		t.Fatalf("without a status: %+v", health)
	}
	phase := func(name string) {
		patch(types.MergePatchType, `{"status":{"phase":"`+name+`"}}`, "status")(w, ref)
	}
	phase("Running")
	w.await(ref, observe.HealthChanged)
	w.until(ref, "current", func(s observe.State) bool { return s.Health.Status == observe.Current })

	// A second unit comes later, with a rule of its own for an object that was dropped long ago.
	second := object.Owner{Namespace: "flux-system", Name: "second-" + w.namespace}
	other := []observe.HealthExpr{{Group: group, Kind: "Widget", Current: "status.phase == 'Perfect'"}}
	if err := w.observer.Claim(observe.Claim{Owner: second, Others: []object.Ref{ref}, Health: other}); err != nil {
		t.Fatal(err)
	}
	w.awaitFor(second, object.Ref{}, observe.Synced)
	if status := w.observer.StateFor(second, ref).Health.Status; status != observe.InProgress {
		t.Errorf("the second unit sees %s", status)
	}
	if status := w.observer.State(ref).Health.Status; status != observe.Current {
		t.Errorf("the owner sees %s", status)
	}
	w.heard.forget()
	phase("Perfect")
	w.awaitFor(second, ref, observe.HealthChanged)
	w.await(ref, observe.HealthChanged)

	// The owner changes its mind: the object has to be read again, as no event will bring it.
	w.heard.forget()
	exprs[0].Current = "status.phase == 'Perfect'"
	if err := w.observer.Claim(observe.Claim{Owner: w.unit, Owned: []object.Ref{ref}, Health: exprs}); err != nil {
		t.Fatal(err)
	}
	w.await(ref, observe.HealthChanged)
	if stats := w.observer.Stats(); stats.Rereads == 0 || w.observer.State(ref).Health.Status != observe.Current {
		t.Errorf("after a new rule: %+v, %+v", w.observer.State(ref).Health, stats)
	}

	exprs[0].Current = "status.phase =="
	if err := w.observer.Claim(observe.Claim{Owner: w.unit, Owned: []object.Ref{ref}, Health: exprs}); err == nil {
		t.Error("a rule that does not compile was accepted")
	}
}

// TestOthers: objects that belong to nobody are watched by name, labels or not.
func TestOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	foreign := w.plain(replace(deployment, "REPLICAS", "replicas: 0"))
	ref := object.RefOf(foreign)
	if err := w.observer.Claim(observe.Claim{Owner: w.unit, Others: []object.Ref{ref}}); err != nil {
		t.Fatal(err)
	}
	w.awaitFor(w.unit, object.Ref{}, observe.Synced)
	if state := w.observer.State(ref); !state.Known || state.Exists {
		t.Fatalf("before it is created: %+v", state)
	}
	w.apply(foreign, "somebody", false)
	w.await(ref, observe.HealthChanged)
	w.until(ref, "current", func(s observe.State) bool { return s.Health.Status == observe.Current })
	w.remove(ref)
	w.await(ref, observe.Gone)
	if stats := w.observer.Stats(); stats.Watches != 2 || stats.Records != 1 {
		t.Errorf("one object and its Pods, but %+v", stats)
	}
}

// TestRestart: a new observer knows nothing; a dry run that changes nothing confirms what is there.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wanted := w.object(configMap)
	ref := object.RefOf(wanted)
	missing := object.RefOf(w.object(replace(configMap, "name: settings", "name: missing")))
	w.apply(wanted, manager, false)
	w.claim(ref, missing)
	w.awaitFor(w.unit, object.Ref{}, observe.Synced)
	if state := w.observer.State(missing); !state.Known || state.Exists {
		t.Errorf("deleted while we were away: %+v", state)
	}
	if causes := w.heard.causes(w.unit, ref); len(causes) > 0 {
		t.Errorf("woken for %v by the first list", causes)
	}
	changed := w.apply(w.object(replace(configMap, "blue", "red")), manager, true)
	if w.observer.Confirm(changed) {
		t.Error("confirmed a dry run that would change a value")
	}
	if !w.observer.Confirm(w.apply(wanted, manager, true)) {
		t.Error("did not confirm a dry run that changes nothing")
	}
	w.edit(ref, set("red", "data", "colour"))
	w.await(ref, observe.Drifted)
	if w.observer.Confirm(w.apply(wanted, manager, true)) {
		t.Error("confirmed a dry run over drift")
	}
}

// TestWatchesFollowClaims: a kind is watched once however many claim it, and no longer than needed.
func TestWatchesFollowClaims(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, clustertest.Start(t), observe.Options{Linger: 50 * time.Millisecond})
	wanted := w.object(configMap)
	ref := object.RefOf(wanted)
	w.claim(ref)
	second := object.Owner{Namespace: "flux-system", Name: "second-" + w.namespace}
	if err := w.observer.Claim(observe.Claim{Owner: second, Owned: []object.Ref{ref}}); err != nil {
		t.Fatal(err)
	}
	w.own(wanted)
	w.awaitFor(second, object.Ref{}, observe.Synced)
	if stats := w.observer.Stats(); stats.Watches != 1 || stats.Claims != 2 {
		t.Errorf("one kind, two claims, but %+v", stats)
	}
	w.edit(ref, set("red", "data", "colour"))
	w.await(ref, observe.Drifted)
	w.awaitFor(second, ref, observe.Drifted)
	w.observer.Release(w.unit)
	if stats := w.observer.Stats(); stats.Watches != 1 || stats.Records == 0 {
		t.Errorf("still claimed, but %+v", stats)
	}
	w.observer.Release(second)
	w.until(ref, "forgotten", func(observe.State) bool {
		stats := w.observer.Stats()
		return stats.Watches == 0 && stats.Records == 0 && stats.Claims == 0
	})
}
