package observe_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/observe"
)

const configMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: NS, labels: {tier: front}, annotations: {note: ours}}
data: {colour: blue, size: large}
`

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NS}
spec:
  REPLICAS
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: example.org/web:1, args: [a, b], resources: {requests: {cpu: 1000m}}}
`

// driftCase is one thing that somebody does to an object of ours.
type driftCase struct {
	why     string
	object  string
	change  func(*world, object.Ref) *unstructured.Unstructured
	drifted bool
}

func edit(change func(map[string]any)) func(*world, object.Ref) *unstructured.Unstructured {
	return func(w *world, ref object.Ref) *unstructured.Unstructured { return w.edit(ref, change) }
}

// applyAs applies a part of the object as another manager.
func applyAs(as, text string) func(*world, object.Ref) *unstructured.Unstructured {
	return func(w *world, _ object.Ref) *unstructured.Unstructured { return w.apply(w.plain(text), as, false) }
}

func scale(replicas string) func(*world, object.Ref) *unstructured.Unstructured {
	return func(w *world, ref object.Ref) *unstructured.Unstructured {
		w.t.Helper()
		_, err := w.resource(ref).Patch(w.ctx, ref.Name, types.MergePatchType, []byte(`{"spec":{"replicas":`+replicas+`}}`),
			metav1.PatchOptions{FieldManager: "horizontal-pod-autoscaler"}, "scale")
		if err != nil {
			w.t.Fatal(err)
		}
		return w.get(ref)
	}
}

func patch(kind types.PatchType, body string, subresources ...string) func(*world, object.Ref) *unstructured.Unstructured {
	return func(w *world, ref object.Ref) *unstructured.Unstructured {
		w.t.Helper()
		u, err := w.resource(ref).Patch(w.ctx, ref.Name, kind, []byte(body), metav1.PatchOptions{FieldManager: "kubectl-patch"}, subresources...)
		if err != nil {
			w.t.Fatal(err)
		}
		return u
	}
}

func container(u map[string]any) map[string]any {
	list, _, _ := unstructured.NestedSlice(u, "spec", "template", "spec", "containers")
	first, _ := list[0].(map[string]any)
	return first
}

func editContainer(change func(map[string]any)) func(*world, object.Ref) *unstructured.Unstructured {
	return edit(func(u map[string]any) {
		first := container(u)
		change(first)
		if err := unstructured.SetNestedSlice(u, []any{first}, "spec", "template", "spec", "containers"); err != nil {
			panic(err)
		}
	})
}

const (
	withReplicas    = "replicas: 1"
	withoutReplicas = "progressDeadlineSeconds: 600"
)

func driftCases() map[string]driftCase {
	deploymentWith := func(line string) string { return replace(deployment, "REPLICAS", line) }
	return map[string]driftCase{
		"ValueEdited":        {why: "kubectl edit takes the field over", object: configMap, change: edit(set("red", "data", "colour")), drifted: true},
		"FieldRemoved":       {why: "a removed field leaves every manager's set", object: configMap, change: edit(unset("data", "colour")), drifted: true},
		"FieldAdded":         {why: "a new key is nobody's business but its author's", object: configMap, change: edit(set("new", "data", "shape"))},
		"LabelEdited":        {why: "labels of ours are fields like others", object: configMap, change: edit(set("back", "metadata", "labels", "tier")), drifted: true},
		"LabelAdded":         {why: "labels of others are theirs", object: configMap, change: edit(set("x", "metadata", "labels", "other"))},
		"AnnotationRemoved":  {why: "annotations of ours are fields like others", object: configMap, change: edit(unset("metadata", "annotations", "note")), drifted: true},
		"AnnotationAdded":    {why: "annotations of others are theirs", object: configMap, change: edit(set("x", "metadata", "annotations", "other"))},
		"FinalizerAdded":     {why: "finalizers belong to their controllers", object: configMap, change: finalizer},
		"OwnerLabelFlipped":  {why: "another unit of ours took the object", object: configMap, change: edit(set("another", "metadata", "labels", object.LabelOwnerName)), drifted: true},
		"Immutable":          {why: "a field that we do not set is not ours", object: configMap, change: edit(set(true, "immutable"))},
		"EditedAndRestored":  {why: "the value is ours again, but the field is not, and the next edit would go unseen", object: configMap, change: editTwice, drifted: true},
		"ForcedApply":        {why: "another applier takes the field by force", object: configMap, change: applyAs("other", replace(configMap, "blue", "red")), drifted: true},
		"SameValueApplied":   {why: "two may own the same value", object: configMap, change: applyAs("other", configMap)},
		"SameValueThenEdit":  {why: "co-owned fields are lost to an edit as well", object: configMap, change: sharedThenEdited, drifted: true},
		"ManagersCleared":    {why: "without an entry of ours we could see no further change", object: configMap, change: patch(types.MergePatchType, `{"metadata":{"managedFields":[{}]}}`), drifted: true},
		"OwnNameByUpdate":    {why: "an edit in our name is not our apply", object: configMap, change: updateInOurName, drifted: true},
		"Recreated":          {why: "the same content by another hand is not ours", object: configMap, change: recreated, drifted: true},
		"ImageEdited":        {why: "fields in keyed lists are fields", object: deploymentWith(withReplicas), change: editContainer(set("example.org/web:2", "image")), drifted: true},
		"ArgsEdited":         {why: "atomic lists are one field", object: deploymentWith(withReplicas), change: editContainer(set([]any{"a", "c"}, "args")), drifted: true},
		"EnvAdded":           {why: "an unset field is open to others", object: deploymentWith(withReplicas), change: editContainer(set([]any{map[string]any{"name": "A", "value": "b"}}, "env"))},
		"QuantityRespelled":  {why: "the same quantity in other words is the same", object: deploymentWith(withReplicas), change: editContainer(set(map[string]any{"requests": map[string]any{"cpu": "1"}}, "resources"))},
		"ScaledOurs":         {why: "an autoscaler and Git must not both hold replicas", object: deploymentWith(withReplicas), change: scale("3"), drifted: true},
		"ScaledFree":         {why: "replicas that Git leaves out belong to the autoscaler", object: deploymentWith(withoutReplicas), change: scale("3")},
		"ReplicasEdited":     {why: "as with the subresource", object: deploymentWith(withReplicas), change: patch(types.MergePatchType, `{"spec":{"replicas":2}}`), drifted: true},
		"ReplicasRemoved":    {why: "the default puts back the same value, and nothing is different", object: deploymentWith(withReplicas), change: edit(unset("spec", "replicas"))},
		"StatusWritten":      {why: "status is its controller's", object: deploymentWith(withReplicas), change: patch(types.MergePatchType, `{"status":{"collisionCount":7}}`, "status")},
		"StrategicPatch":     {why: "kubectl patch is an edit", object: deploymentWith(withReplicas), change: patch(types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"x:1"}]}}}}`), drifted: true},
		"SidecarAdded":       {why: "an injected container is no change to ours", object: deploymentWith(withReplicas), change: patch(types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"x:1"}]}}}}`)},
		"JSONPatchRemoves":   {why: "a removed list item leaves every manager's set", object: deploymentWith(withReplicas), change: patch(types.JSONPatchType, `[{"op":"remove","path":"/spec/template/spec/containers/0/args"}]`), drifted: true},
		"RestartAnnotations": {why: "kubectl rollout restart must not be fought", object: deploymentWith(withReplicas), change: patch(types.StrategicMergePatchType, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}`)},
	}
}

// TestDrift does to objects what people and controllers do, on a real API server.
func TestDrift(t *testing.T) {
	for name, test := range driftCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			wanted := w.object(test.object)
			ref := object.RefOf(wanted)
			w.claim(ref)
			w.own(wanted)
			w.until(ref, "in sync", func(s observe.State) bool { return w.observer.Stats().Broken == 0 && s.Known })
			changed := test.change(w, ref)
			state := w.until(ref, "at the version of the change", func(s observe.State) bool {
				return notBefore(s.ResourceVersion, changed.GetResourceVersion()) && s.UID == changed.GetUID()
			})
			if state.Drifted != test.drifted {
				t.Errorf("drifted is %t, want %t: %s\n%s", state.Drifted, test.drifted, test.why, managers(changed))
			}
			if test.drifted {
				w.await(ref, observe.Drifted)
				w.restore(wanted)
			}
		})
	}
}

// restore applies again, after which there is no drift and a further edit is seen again.
func (w *world) restore(wanted *unstructured.Unstructured) {
	w.t.Helper()
	ref := object.RefOf(wanted)
	w.own(wanted)
	if w.observer.State(ref).Drifted {
		w.t.Fatalf("still drifted after our own apply")
	}
	w.heard.forget()
	w.edit(ref, unset("metadata", "labels", object.LabelOwnerNS))
	w.await(ref, observe.Drifted)
}

func managers(u *unstructured.Unstructured) string {
	text := ""
	for _, entry := range u.GetManagedFields() {
		text += string(entry.Operation) + " " + entry.Manager + "/" + entry.Subresource + " " + entry.Time.String() + " " + entry.FieldsV1.GetRawString() + "\n"
	}
	return text
}

func finalizer(w *world, ref object.Ref) *unstructured.Unstructured {
	w.t.Cleanup(func() { _ = w.edit(ref, unset("metadata", "finalizers")) })
	return w.edit(ref, set([]any{"example.org/hold"}, "metadata", "finalizers"))
}

func editTwice(w *world, ref object.Ref) *unstructured.Unstructured {
	w.edit(ref, set("red", "data", "colour"))
	return w.edit(ref, set("blue", "data", "colour"))
}

func sharedThenEdited(w *world, ref object.Ref) *unstructured.Unstructured {
	w.apply(w.plain(configMap), "other", false)
	return w.edit(ref, set("red", "data", "colour"))
}

func updateInOurName(w *world, ref object.Ref) *unstructured.Unstructured {
	w.t.Helper()
	u := w.get(ref)
	set("red", "data", "colour")(u.Object)
	answer, err := w.resource(ref).Update(w.ctx, u, metav1.UpdateOptions{FieldManager: manager})
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

func recreated(w *world, ref object.Ref) *unstructured.Unstructured {
	w.t.Helper()
	u := w.get(ref)
	w.remove(ref)
	u.SetResourceVersion("")
	u.SetUID("")
	answer, err := w.resource(ref).Create(w.ctx, u, metav1.CreateOptions{FieldManager: "velero"})
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// TestDriftInOurName: another instance that applies in our name is seen, too, unless it does so in
// the very second of our own apply.
func TestDriftInOurName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wanted := w.object(configMap)
	ref := object.RefOf(wanted)
	w.claim(ref)
	first := w.own(wanted)
	if fields := first.GetManagedFields(); len(fields) > 0 { // the time of an entry counts seconds
		over := fields[0].Time.Add(1100 * time.Millisecond)
		eventually.True(t, "the second of our apply is over", func() bool { return time.Now().After(over) })
	}
	other := w.object(replace(configMap, "blue", "red"))
	w.apply(other, manager, false)
	w.await(ref, observe.Drifted)
}
