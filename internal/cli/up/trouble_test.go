package up

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

func TestTrouble(t *testing.T) {
	apps := types.NamespacedName{Namespace: "flux-system", Name: "apps"}
	cases := map[string]struct {
		why             string
		name            types.NamespacedName
		reason, message string
		want            string
	}{
		"RolledBack": {
			why: "a person sees what runs, why, and the way out", name: apps, reason: "RolledBack",
			message: "Git wants main@sha1:b (Jane <jane@example.org>); the cluster runs release 1, main@sha1:a, since 2026-03-01T10:15:02Z: " +
				"health check failed: Pod web: not found; commit a fix, or try it once more with `holdfast retry apps -n flux-system`",
			want: "rolled back, and held there until Git changes" +
				"\n           Git wants main@sha1:b (Jane <jane@example.org>)" +
				"\n           the cluster runs release 1, main@sha1:a, since 2026-03-01T10:15:02Z" +
				"\n           why: health check failed: Pod web: not found" +
				"\n           the way out: `git revert HEAD`, or a fix; what happened: `" + program() + " history apps`",
		},
		"Frozen": {
			why: "a fix alone does not end it", name: types.NamespacedName{Namespace: "shop", Name: "web"}, reason: "Frozen",
			message: "Git wants b; the cluster runs release 1, a, since 2026-03-01T10:15:02Z: bad; rolled back too often within an hour, " +
				"so that nothing is tried any more until `holdfast retry web -n shop`",
			want: "frozen: it was rolled back too often, and nothing new is tried" +
				"\n           Git wants b\n           the cluster runs release 1, a, since 2026-03-01T10:15:02Z\n           why: bad" +
				"\n           the way out: `git revert HEAD`, or a fix, and then `" + program() + " retry web -n shop`; " +
				"what happened: `" + program() + " history web -n shop`",
		},
		"RollingBack": {
			why: "the cause counts, not what is waited for", name: apps, reason: "RollingBack",
			message: "going back to release 1: waiting for [Deployment/a/a]; the cause: it failed", want: "is being rolled back: it failed",
		},
		"OtherWords": {
			why: "a sentence in other words is shown as it is", name: apps, reason: "RollbackFailed", message: "neither is healthy",
			want: "rolled back, but what it went back to is not healthy either; nothing further is tried\n           neither is healthy" +
				"\n           the way out: `git revert HEAD`, or a fix; what happened: `" + program() + " history apps`",
		},
		"Nested": {
			why: "of a build, the innermost folder has the cause", name: apps, reason: "BuildFailed",
			message: "building ./a: accumulating resources: accumulation err='accumulating resources from './b': open a/b: file does not exist': " +
				"recursed accumulation of path 'a/b': accumulating resources from 'x.yaml': malformed",
			want: "rejected, BuildFailed: building ./a: a/b: accumulating resources from 'x.yaml': malformed" +
				"\n           the way out: `git revert HEAD`, or a fix; what happened: `" + program() + " history apps`",
		},
		"Dependency": {
			why: "what waits is no fault", name: apps, reason: "DependencyNotReady", message: "dependency 'x' is not ready",
			want: "DependencyNotReady: dependency 'x' is not ready",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := trouble(standing{name: tc.name, reason: tc.reason, message: tc.message})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}
