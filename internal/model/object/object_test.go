package object_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/model/object"
)

func TestRulesOf(t *testing.T) {
	const domain = "kustomize.toolkit.fluxcd.io/"
	job := func(fields map[string]any) map[string]any {
		return map[string]any{"kind": "Job", "spec": fields}
	}
	cases := map[string]struct {
		why         string
		content     map[string]any
		annotations map[string]string
		labels      map[string]string
		want        object.Rules
	}{
		"None":          {why: "most objects ask for nothing"},
		"CaseFolded":    {why: "values compare without case", annotations: map[string]string{domain + "reconcile": "Disabled"}, want: object.Rules{ReconcileDisabled: true}},
		"Label":         {why: "labels count, too", labels: map[string]string{domain + "prune": "disabled"}, want: object.Rules{PruneDisabled: true}},
		"Merge":         {why: "keep fields of others", annotations: map[string]string{domain + "ssa": "Merge"}, want: object.Rules{Merge: true}},
		"IfNotPresent":  {why: "create only", annotations: map[string]string{domain + "ssa": "ifnotpresent"}, want: object.Rules{IfNotPresent: true}},
		"Ignore":        {why: "leave alone", annotations: map[string]string{domain + "ssa": "Ignore"}, want: object.Rules{Ignore: true}},
		"Force":         {why: "recreate", annotations: map[string]string{domain + "force": "enabled"}, want: object.Rules{Force: true}},
		"UnknownValue":  {why: "a value that means nothing does nothing", annotations: map[string]string{domain + "prune": "no"}},
		"ExpiringJob":   {why: "its absence is no drift", content: job(map[string]any{"ttlSecondsAfterFinished": int64(0)}), want: object.Rules{Expires: true}},
		"PermanentJob":  {why: "without a time to live it stays", content: job(map[string]any{})},
		"NotAJobAtAll":  {why: "the field means something on Jobs only", content: map[string]any{"kind": "Foo", "spec": map[string]any{"ttlSecondsAfterFinished": int64(1)}}},
		"AnnotationWin": {why: "an annotation wins over a label", annotations: map[string]string{domain + "prune": "enabled"}, labels: map[string]string{domain + "prune": "disabled"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{Object: tc.content}
			if u.Object == nil {
				u.Object = map[string]any{}
			}
			if tc.annotations != nil {
				u.SetAnnotations(tc.annotations)
			}
			if tc.labels != nil {
				u.SetLabels(tc.labels)
			}
			if diff := cmp.Diff(tc.want, object.RulesOf(u)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}
