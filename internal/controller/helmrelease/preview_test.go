package helmrelease_test

import (
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/controller/helmrelease"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/render/chart"
)

// TestInput: what those who render without a cluster are told is what the fields of a HelmRelease mean.
func TestInput(t *testing.T) {
	base := chart.Input{
		Owner: object.Owner{Namespace: "apps", Name: "web"}, Name: "web", Namespace: "apps", Revision: 1, CRDs: chart.Create,
	}
	cases := map[string]struct {
		why  string
		spec helmv2.HelmReleaseSpec
		want func(*chart.Input)
	}{
		"Bare": {why: "definitions come with an install unless it is said otherwise", want: func(*chart.Input) {}},
		"Target": {
			why: "the target names the release, too", spec: helmv2.HelmReleaseSpec{TargetNamespace: "prod"},
			want: func(in *chart.Input) { in.Namespace, in.Name = "prod", "prod-web" },
		},
		"LongName": {
			why: "Helm takes 53 characters", spec: helmv2.HelmReleaseSpec{ReleaseName: strings.Repeat("a", 54)},
			want: func(in *chart.Input) { in.Name = strings.Repeat("a", 40) + "-a3f01b693925" },
		},
		"SkipCRDs": {
			why: "the old field counts as well", spec: helmv2.HelmReleaseSpec{Install: &helmv2.Install{SkipCRDs: true}},
			want: func(in *chart.Input) { in.CRDs = chart.Skip },
		},
		"CRDs": {
			why:  "what installs do, not what upgrades do",
			spec: helmv2.HelmReleaseSpec{Install: &helmv2.Install{CRDs: helmv2.CreateReplace}, Upgrade: &helmv2.Upgrade{CRDs: helmv2.Skip}},
			want: func(in *chart.Input) { in.CRDs = chart.CreateReplace },
		},
		"NoSchema": {
			why: "values may be let through", spec: helmv2.HelmReleaseSpec{Install: &helmv2.Install{DisableSchemaValidation: true}},
			want: func(in *chart.Input) { in.SkipSchema = true },
		},
		"Changed": {
			why: "after the templates",
			spec: helmv2.HelmReleaseSpec{
				CommonMetadata: &helmv2.CommonMetadata{Labels: map[string]string{"team": "web"}},
				PostRenderers: []helmv2.PostRenderer{{}, {Kustomize: &helmv2.Kustomize{
					Patches: []kustomize.Patch{{Patch: "a: b", Target: &kustomize.Selector{Kind: "Service"}}},
					Images:  []kustomize.Image{{Name: "nginx", NewTag: "2"}},
				}}},
			},
			want: func(in *chart.Input) {
				in.Labels = map[string]string{"team": "web"}
				in.PostRenderers = []chart.PostRenderer{{
					Patches: []chart.Patch{{Patch: "a: b", Target: &chart.Selector{Kind: "Service"}}},
					Images:  []chart.Image{{Name: "nginx", NewTag: "2"}},
				}}
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := base
			tc.want(&want)
			got := helmrelease.Input(&helmv2.HelmRelease{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "web"}, Spec: tc.spec})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}
