package kustomization

import (
	"fmt"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/pipeline"
)

// heard is a teller that writes down what it is told, "Type Reason message".
type heard struct{ told []string }

func (h *heard) AnnotatedEventf(_ runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	h.told = append(h.told, kind+" "+reason+" "+fmt.Sprintf(format, args...))
}

// TestTellChanges: what is told of objects has the reason of the unit's condition, but for corrections
// that are put off: they are news that the condition does not have.
func TestTellChanges(t *testing.T) {
	events := &heard{}
	v := &visit{reconciler: &reconciler{Deps: Deps{Parts: delivery.Parts{Events: events}}}, unit: &kustomizev1.Kustomization{}}
	v.status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.ReconciliationSucceededReason}}
	v.tellChanges(pipeline.Outcome{Contested: []string{"ConfigMap/a/b is changed again"}})
	v.tell(corev1.EventTypeNormal, "ConfigMap/a/b configured")
	want := []string{"Warning Contested ConfigMap/a/b is changed again", "Normal ReconciliationSucceeded ConfigMap/a/b configured"}
	if diff := cmp.Diff(want, events.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
