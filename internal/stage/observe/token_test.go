package observe

import (
	"maps"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/model/object"
)

const tokenObject = `
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
  resourceVersion: "7"
  labels: {kustomize.toolkit.fluxcd.io/name: apps, kustomize.toolkit.fluxcd.io/namespace: flux-system}
  managedFields:
  - {manager: kustomize-controller, operation: Apply, apiVersion: v1, time: "2026-01-01T00:00:00Z", fieldsV1: {"f:data": {"f:a": {}, "f:b": {}}}}
  - {manager: kustomize-controller, operation: Update, apiVersion: v1, time: "2026-01-01T00:00:00Z", fieldsV1: {"f:data": {"f:c": {}}}}
  - {manager: kubectl-edit, operation: Update, apiVersion: v1, time: "2026-01-01T00:00:00Z", fieldsV1: {"f:data": {"f:d": {}}}}
data: {a: "1", n: "2"}
`

// entry returns one of the managed-fields entries, to change it.
func entryOf(u *unstructured.Unstructured, i int) map[string]any {
	metadata, _ := u.Object["metadata"].(map[string]any)
	entries, _ := metadata["managedFields"].([]any)
	entry, _ := entries[i].(map[string]any)
	return entry
}

func TestDigests(t *testing.T) {
	tests := map[string]struct {
		why            string
		change         func(*unstructured.Unstructured)
		token, content bool // whether they become others
	}{
		"Nothing": {why: "the same is the same", change: func(*unstructured.Unstructured) {}},
		"OurFields": {why: "what we own", change: func(u *unstructured.Unstructured) {
			entryOf(u, 0)["fieldsV1"] = map[string]any{"f:data": map[string]any{"f:a": map[string]any{}}}
		}, token: true},
		"OurTime":        {why: "somebody applied in our name", change: func(u *unstructured.Unstructured) { entryOf(u, 0)["time"] = "2026-01-01T00:00:01Z" }, token: true},
		"OurVersion":     {why: "fields are of an API version", change: func(u *unstructured.Unstructured) { entryOf(u, 0)["apiVersion"] = "v2" }, token: true},
		"OurSubresource": {why: "an entry of a subresource is another entry", change: func(u *unstructured.Unstructured) { entryOf(u, 0)["subresource"] = "status" }, token: true},
		"OurUpdates":     {why: "what we updated is not what we applied", change: func(u *unstructured.Unstructured) { entryOf(u, 1)["time"] = "x" }},
		"OthersFields":   {why: "what others own", change: func(u *unstructured.Unstructured) { entryOf(u, 2)["fieldsV1"] = nil }},
		"OwnerLabel":     {why: "whose it is", change: func(u *unstructured.Unstructured) { u.SetLabels(map[string]string{object.LabelOwnerName: "b"}) }, token: true, content: true},
		"Version":        {why: "every write changes it", change: func(u *unstructured.Unstructured) { u.SetResourceVersion("8") }},
		"Data":           {why: "what people want", change: func(u *unstructured.Unstructured) { u.Object["data"] = map[string]any{"a": "2", "n": "2"} }, content: true},
		"Status":         {why: "what controllers tell", change: func(u *unstructured.Unstructured) { u.Object["status"] = map[string]any{"a": int64(2)} }},
		"Annotation":     {why: "what people want", change: func(u *unstructured.Unstructured) { u.SetAnnotations(map[string]string{"a": "b"}) }, content: true},
		"Generation":     {why: "the server's own", change: func(u *unstructured.Unstructured) { u.SetGeneration(4) }},
		"NoEntries":      {why: "cleared managed fields", change: func(u *unstructured.Unstructured) { u.SetManagedFields(nil) }, token: true},
	}
	h := &hasher{}
	base := parse(t, tokenObject)
	token, content := h.tokenOf(base, "kustomize-controller", object.Kustomizations), h.contentOf(base)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u := parse(t, tokenObject)
			test.change(u)
			if changed := h.tokenOf(u, "kustomize-controller", object.Kustomizations) != token; changed != test.token {
				t.Errorf("token changed: %t, want %t: %s", changed, test.token, test.why)
			}
			if changed := h.contentOf(u) != content; changed != test.content {
				t.Errorf("content changed: %t, want %t: %s", changed, test.content, test.why)
			}
		})
	}
}

// TestDigestsAreUnambiguous: values that differ in structure only have different digests.
func TestDigestsAreUnambiguous(t *testing.T) {
	values := []any{
		nil, "", "n", true, false, int64(0), int64(1), float64(1), "1", []any{}, map[string]any{},
		[]any{"a", "b"}, []any{"ab"}, []any{[]any{"a"}, "b"}, []any{"a", []any{"b"}}, []any{nil},
		map[string]any{"a": "b"}, map[string]any{"a": nil}, map[string]any{"a": map[string]any{"b": nil}}, map[string]any{"a": nil, "b": nil},
	}
	h, seen := &hasher{}, map[digest]int{}
	for i, value := range values {
		h.value(value)
		sum := h.sum()
		if other, found := seen[sum]; found {
			t.Errorf("%#v and %#v have the same digest", values[other], value)
		}
		seen[sum] = i
	}
}

func FuzzDigest(f *testing.F) {
	f.Add([]byte(`{"metadata":{"managedFields":[{"manager":"m","operation":"Apply","fieldsV1":{"f:a":{}}}]},"data":{"a":[1,2.5,null,true]}}`))
	f.Add([]byte(`{"metadata":{"managedFields":[7,{"manager":7}],"labels":[]},"kind":3}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var a, b unstructured.Unstructured
		if a.UnmarshalJSON(raw) != nil || b.UnmarshalJSON(raw) != nil {
			return
		}
		h, fresh := &hasher{}, &hasher{}
		h.value("left over from another object")
		h.sum()
		if h.tokenOf(&a, "m", 0) != fresh.tokenOf(&b, "m", 0) || h.contentOf(&a) != fresh.contentOf(&b) {
			t.Error("two digests of the same object")
		}
		b.Object = maps.Clone(a.Object)
		b.Object["more"] = "x"
		if _, had := a.Object["more"]; !had && h.contentOf(&a) == h.contentOf(&b) {
			t.Error("a field more, and the same digest")
		}
	})
}
