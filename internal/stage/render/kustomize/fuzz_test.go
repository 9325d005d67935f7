package kustomize

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzDocuments looks for files of which a document alone is not read as it is in the whole.
func FuzzDocuments(f *testing.F) {
	one := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  text: |\n    line\n"
	for _, seed := range []string{
		one, one + "---\n" + one, "---\n" + one, one + "--- # next\n---\n" + one, one + "\n---", strings.ReplaceAll(one+"---\n"+one, "\n", "\r\n"),
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: a}}\n---\n" + one,
		one + "---\napiVersion: v1\nkind: ConfigMapList\nitems: []\n", one + "---\n# nothing\n---\n" + one + "...\n", "a: &a [*a]", "--- x\n" + one,
		one + "---\n" + strings.TrimSuffix(one, "\n"), "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"a\"}}",
	} {
		f.Add(seed)
	}
	limits := Limits{}.withDefaults()
	f.Fuzz(func(t *testing.T, text string) {
		known := factsOf([]byte(text), limits)
		if known.err != nil {
			return // kustomize itself would crash of some of these
		}
		want, err := parsedDocs([]byte(text))
		if err != nil {
			t.Fatalf("kustomize: %v", err)
		}
		texts, err := splitDocuments([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for number, doc := range known.docs {
			alone := []byte(text)
			if len(known.docs) > 1 {
				alone = joinDocuments(texts, []int{number})
			}
			got, err := parsedDocs(alone)
			if err != nil {
				t.Fatalf("document %d alone: %v", number, err)
			}
			if len(got) != len(doc.objects) || at+len(got) > len(want) {
				t.Fatalf("document %d alone has %d objects, want %d", number, len(got), len(doc.objects))
			}
			for i := range got {
				if diff := cmp.Diff(got[i].MustString(), want[at+i].MustString()); diff != "" {
					t.Fatalf("document %d (-alone +whole):\n%s", number, diff)
				}
			}
			at += len(got)
		}
		if at != len(want) {
			t.Fatalf("%d objects in the documents, want %d", at, len(want))
		}
	})
}

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
	builder := NewBuilder(Limits{Objects: 1000, TotalBytes: 1 << 20}, 1<<20)
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
