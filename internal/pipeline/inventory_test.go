package pipeline

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/object"
)

func TestInventory(t *testing.T) {
	a1 := object.Ref{Version: "v1", Kind: "ConfigMap", Namespace: "x", Name: "a"}
	a2 := a1
	a2.Version = "v2"
	b := object.Ref{Version: "v1", Kind: "ConfigMap", Namespace: "x", Name: "b"}
	c := object.Ref{Version: "v1", Kind: "ConfigMap", Namespace: "w", Name: "c"}
	if diff := cmp.Diff([]object.Ref{c, a2, b}, union([]object.Ref{b, a1}, []object.Ref{a2, c})); diff != "" {
		t.Errorf("union is sorted by identifier and takes the newer version (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]object.Ref{b}, without([]object.Ref{a1, b}, []object.Ref{a2})); diff != "" {
		t.Errorf("another version is the same object (-want +got):\n%s", diff)
	}
}
