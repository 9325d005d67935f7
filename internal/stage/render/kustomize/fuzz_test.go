package kustomize

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// FuzzKustomization looks for kustomizations that crash, hang, reach out, or build to something else
// when they are taken apart.
func FuzzKustomization(f *testing.F) {
	for _, seed := range []string{
		"resources: [a.yaml, ../base]\nnamespace: x\n", "resources: [.]\n", "resources: [../top]\n", "resources: ['http://127.0.0.1:1/x']\n",
		"resources: [a.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: '[{\"op\": \"add\", \"path\": \"/data/x\", \"value\": \"1\"}]'\n",
		"resources: [a.yaml]\nimages: [{name: nginx, newTag: x}]\nreplicas: [{name: web, count: 3}]\nlabels: [{pairs: {a: b}, includeSelectors: true}]\n",
		"configMapGenerator: [{name: g, files: [../../x, k=a.yaml], literals: [a=b]}]\nsecretGenerator: [{name: s, envs: [e.env]}]\n",
		"components: [../part]\nresources: [a.yaml]\nnameSuffix: -x\n", "bases: [../base]\ncommonLabels: {a: b}\nvars: []\n",
		"generators: [a.yaml]\ntransformers: ['{apiVersion: builtin, kind: PrefixTransformer, metadata: {name: x}, prefix: p-}']\n",
		"resources: [a.yaml]\nreplacements: [{source: {kind: ConfigMap, fieldPath: data.a}, targets: [{select: {kind: Deployment}, fieldPaths: [metadata.name]}]}]\n",
		"openapi: {version: v1}\nresources: [a.yaml]\n", "crds: [a.yaml]\nconfigurations: [a.yaml]\nresources: [a.yaml]\n", "kind: Component\nresources: [a.yaml]\n", "helmCharts: [{name: x}]\n",
	} {
		f.Add(seed)
	}
	builder := NewBuilder(manifest.Limits{Objects: 1000, TotalBytes: 1 << 20}, 1<<20)
	f.Fuzz(func(t *testing.T, kustomization string) {
		at := treeOf(map[string]string{
			"top/kustomization.yaml": kustomization, "top/e.env": "k=v\nplain\n",
			"top/a.yaml":              "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a, image: nginx}]}}}\n",
			"base/kustomization.yaml": "resources: [b.yaml]\n", "base/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n",
			"part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamespace: part\n",
		})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		want, wantErr := builder.Full(ctx, at, Spec{Path: "top"})
		got, err := builder.Build(ctx, at, Spec{Path: "top"}, nil)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("apart: %v\nwhole: %v", err, wantErr)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("it hangs")
		}
		if diff := cmp.Diff(texts(want.Objects), texts(got.Objects)); diff != "" {
			t.Fatalf("(-whole +apart):\n%s", diff)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("message of several lines: %s", err)
		}
	})
}
