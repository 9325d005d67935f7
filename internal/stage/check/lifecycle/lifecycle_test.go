package lifecycle_test

import (
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/model/finding"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/lifecycle"
)

func TestJudge(t *testing.T) {
	cases := map[string]struct {
		why, version string
		ref          object.Ref
		want         string
	}{
		"Current":    {why: "most versions stay", version: "1.36", ref: object.Ref{Group: "apps", Version: "v1", Kind: "Deployment", Name: "a"}},
		"Removed":    {why: "what is gone is an error", version: "1.36", ref: object.Ref{Group: "policy", Version: "v1beta1", Kind: "PodDisruptionBudget", Name: "a"}, want: "PodDisruptionBudget/a apiVersion: Kubernetes serves it no more, since 1.25 [api/removed]; write it as policy/v1"},
		"Deprecated": {why: "what goes is a warning", version: "1.24", ref: object.Ref{Group: "policy", Version: "v1beta1", Kind: "PodDisruptionBudget", Name: "a"}, want: "warning: PodDisruptionBudget/a apiVersion: is deprecated since Kubernetes 1.21 [api/deprecated]; write it as policy/v1"},
		"Custom":     {why: "nothing is known of other kinds", version: "1.36", ref: object.Ref{Group: "example.org", Version: "v1", Kind: "A", Name: "a"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := lifecycle.Judge{Version: tc.version}.Judge(t.Context(), check.Set{Objects: []object.Object{{Ref: tc.ref}}})
			if got := finding.Lines(found); got != tc.want || err != nil {
				t.Errorf("%s: %s %v", tc.why, strings.TrimSpace(got), err)
			}
		})
	}
}
