package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func entry(manager string, operation metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: operation, Subresource: subresource, APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
	}
}

func TestReplaces(t *testing.T) {
	const apply, update = metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
	a := New(Options{TakeOver: []string{"old-tool"}})
	cases := map[string]struct {
		why   string
		entry metav1.ManagedFieldsEntry
		want  bool
	}{
		"Kubectl":       {why: "what people applied by hand", entry: entry("kubectl", apply, "", "{}"), want: true},
		"ClientSide":    {why: "in any of kubectl's ways: the prefix counts", entry: entry("kubectl-client-side-apply", update, "", "{}"), want: true},
		"BeforeFirst":   {why: "fields from before managers were kept", entry: entry("before-first-apply", update, "", "{}"), want: true},
		"OwnUpdate":     {why: "what an older Flux wrote without server-side apply", entry: entry(DefaultManager, update, "", "{}"), want: true},
		"Own":           {why: "our own entry is the one that takes", entry: entry(DefaultManager, apply, "", "{}")},
		"Option":        {why: "managers that the operator names", entry: entry("old-tool", apply, "", "{}"), want: true},
		"Controller":    {why: "others keep what they have", entry: entry("kube-controller-manager", update, "", "{}")},
		"FluxException": {why: "the documented name of additions that survive", entry: entry("flux-client-side-apply", update, "", "{}")},
		"Status":        {why: "subresources are never ours", entry: entry("kubectl", update, "status", "{}")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := a.replaces(tc.entry); got != tc.want {
				t.Errorf("%s: %v", tc.why, got)
			}
		})
	}
}

func TestMerged(t *testing.T) {
	a := New(Options{})
	scaler := entry("hpa", metav1.ManagedFieldsOperationUpdate, "", `{"f:spec":{"f:replicas":{}}}`)
	status := entry("kubectl", metav1.ManagedFieldsOperationUpdate, "status", `{"f:status":{}}`)
	got, changed, err := a.merged([]metav1.ManagedFieldsEntry{
		entry("kubectl-edit", metav1.ManagedFieldsOperationUpdate, "", `{"f:data":{"f:a":{}}}`), scaler,
		entry(DefaultManager, metav1.ManagedFieldsOperationApply, "", `{"f:data":{"f:b":{}}}`), status,
	})
	if err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	want := []metav1.ManagedFieldsEntry{scaler, status, entry(DefaultManager, metav1.ManagedFieldsOperationApply, "", `{"f:data":{"f:a":{},"f:b":{}}}`)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("others as they were, and all of kubectl's in our entry (-want +got):\n%s", diff)
	}
	if _, changed, _ := a.merged(want); changed {
		t.Error("there is nothing to merge any more")
	}
	if _, _, err := a.merged([]metav1.ManagedFieldsEntry{entry("kubectl", metav1.ManagedFieldsOperationApply, "", `[]`)}); err == nil {
		t.Error("fields that cannot be read were merged")
	}
}

func TestRemovals(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "x"})
	u.SetLabels(map[string]string{"fluxcd.io/sync-gc-mark": "x"})
	want := []operation{
		{Op: "remove", Path: "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration"},
		{Op: "remove", Path: "/metadata/labels/fluxcd.io~1sync-gc-mark"},
	}
	if diff := cmp.Diff(want, removals(u)); diff != "" {
		t.Errorf("leftovers of other tools, and nothing else (-want +got):\n%s", diff)
	}
}

func FuzzMerged(f *testing.F) {
	f.Add("kubectl", `{"f:data":{"f:a":{}}}`)
	f.Add(DefaultManager, `{"f:data":{".":{},"k:{\"name\":\"x\"}":{}}}`)
	f.Fuzz(func(t *testing.T, manager, fields string) {
		a := New(Options{})
		merged, _, err := a.merged([]metav1.ManagedFieldsEntry{entry(manager, metav1.ManagedFieldsOperationApply, "", fields)})
		if err != nil {
			return
		}
		if _, changed, err := a.merged(merged); err != nil || changed {
			t.Errorf("merging again: changed %v, %v", changed, err)
		}
	})
}
