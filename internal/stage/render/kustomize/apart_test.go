package kustomize

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

const (
	account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: app, namespace: old}\n"
	binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: app, namespace: old}\n" +
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: app}\nsubjects: [{kind: ServiceAccount, name: app, namespace: old}]\n"
	other    = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: old}\n"
	settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"
	pod      = "apiVersion: v1\nkind: Pod\nmetadata: {name: app}\nspec: {containers: [{name: a, image: nginx, envFrom: [{configMapRef: {name: settings}}]}]}\n"
)

var apartCases = map[string]struct {
	why    string
	files  map[string]string
	change map[string]string
	whole  bool // it cannot be taken apart
	fails  bool // after the change
}{
	"Binding": {
		why:    "a binding follows its account into another namespace",
		files:  map[string]string{"top/kustomization.yaml": "namespace: new\nresources: [0.yaml, a.yaml, b.yaml]\n", "top/0.yaml": other, "top/a.yaml": account, "top/b.yaml": binding},
		change: map[string]string{"top/a.yaml": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: other, namespace: old}\n"},
	},
	"BindingFromOutside": {
		why: "an account keeps its namespace, and so does the subject",
		files: map[string]string{
			"top/kustomization.yaml": "resources: [../base, b.yaml]\n", "base/kustomization.yaml": "namespace: new\nresources: [a.yaml]\n",
			"base/a.yaml": account, "top/b.yaml": binding,
		},
		change: map[string]string{"base/kustomization.yaml": "namespace: newer\nresources: [a.yaml]\n"},
	},
	"Webhook": {
		why: "a webhook follows its service",
		files: map[string]string{
			"top/kustomization.yaml": "namespace: new\nresources: [a.yaml, b.yaml]\n",
			"top/a.yaml":             "apiVersion: v1\nkind: Service\nmetadata: {name: hook, namespace: old}\n",
			"top/b.yaml":             "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: hook}\nwebhooks: [{name: a.b.c, clientConfig: {service: {name: hook, namespace: old}}}]\n",
		},
		change: map[string]string{"top/a.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: hook, namespace: elsewhere}\n"},
	},
	"Generator": {
		why:    "a pod takes the name with the hash",
		files:  map[string]string{"top/kustomization.yaml": "resources: [p.yaml]\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n", "top/p.yaml": pod},
		change: map[string]string{"top/kustomization.yaml": "resources: [p.yaml]\nconfigMapGenerator: [{name: settings, literals: [a=c]}]\n"},
	},
	"GeneratorThroughPatch": {
		why: "the mention stands in a patch",
		files: map[string]string{
			"top/kustomization.yaml": "resources: [p.yaml]\npatches: [{path: x.yaml, target: {kind: Pod}}]\nconfigMapGenerator: [{name: extra, literals: [a=b]}]\n",
			"top/p.yaml":             pod, "top/x.yaml": "- {op: add, path: /spec/containers/0/envFrom/-, value: {configMapRef: {name: extra}}}\n",
		},
		change: map[string]string{"top/x.yaml": "- {op: replace, path: /spec/containers/0/envFrom/0/configMapRef/name, value: extra}\n"},
	},
	"Namesake": {
		why: "a plain object of the generator's name makes a reference from no namespace ambiguous",
		files: map[string]string{
			"top/kustomization.yaml": "resources: [r.yaml, ../plain, ../gen]\n", "gen/kustomization.yaml": "namespace: two\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n",
			"plain/kustomization.yaml": "namespace: one\nresources: [s.yaml]\n", "plain/s.yaml": other,
			"top/r.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\nrules: [{apiGroups: [''], resources: [configmaps], verbs: [get], resourceNames: [settings]}]\n",
		},
		change: map[string]string{"plain/s.yaml": settings},
		fails:  true,
	},
	"SubjectNamespace": {
		why: "another object from the subject's namespace decides how kustomize reads that, without an effect",
		files: map[string]string{
			"top/kustomization.yaml": "resources: [../moved, ../there]\n", "moved/kustomization.yaml": "namespace: there\nresources: [a.yaml, b.yaml]\n",
			"moved/a.yaml":             "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: \"123\", namespace: old}\n",
			"moved/b.yaml":             "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: app, namespace: old}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: app}\nsubjects: [{kind: ServiceAccount, name: '123', namespace: there}]\n",
			"there/kustomization.yaml": "resources: [c.yaml]\n", "there/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: there}\n",
		},
		change: map[string]string{"there/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: elsewhere}\n"},
	},
	"Twins": {
		why: "one directory is visited twice, into two namespaces",
		files: map[string]string{
			"top/kustomization.yaml": "resources: [../one, ../two]\n", "one/kustomization.yaml": "namespace: one\nresources: [../base]\npatches: [{path: p.yaml}]\n",
			"two/kustomization.yaml": "namespace: two\nresources: [../base]\n", "one/p.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n",
			"base/kustomization.yaml": "resources: [s.yaml]\n", "base/s.yaml": settings + "---\n" + pod,
		},
		change: map[string]string{"base/s.yaml": settings + "data: {c: d}\n---\n" + pod},
	},
	"TwinDocuments": {
		why: "a patch joins one document of the first visit and another of the second, and the file that both stand in has one content",
		files: map[string]string{
			"top/kustomization.yaml": "resources: [../one, ../two]\npatches: [{path: x.yaml}]\n",
			"top/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: one}\ndata: {by: top}\n---\n" +
				"apiVersion: v1\nkind: Secret\nmetadata: {name: keys, namespace: two}\nstringData: {by: top}\n",
			"one/kustomization.yaml":  "namespace: one\nresources: [../base]\n",
			"two/kustomization.yaml":  "namespace: two\nresources: [../base]\n",
			"base/kustomization.yaml": "resources: [s.yaml]\n",
			"base/s.yaml":             settings + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys}\n",
		},
		change: map[string]string{
			"top/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: one}\ndata: {by: somebody}\n---\n" +
				"apiVersion: v1\nkind: Secret\nmetadata: {name: keys, namespace: two}\nstringData: {by: somebody}\n",
		},
	},
	"TwinGenerators": {
		why: "a patch joins what the first visit generates and a document of the second, and a kustomization generates for both or for none",
		files: map[string]string{
			"top/kustomization.yaml": "resources: [../one, ../two]\npatches: [{path: x.yaml}]\n",
			"top/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more, namespace: one}\ndata: {by: top}\n---\n" +
				"apiVersion: v1\nkind: Secret\nmetadata: {name: keys, namespace: two}\nstringData: {by: top}\n",
			"one/kustomization.yaml":  "namespace: one\nresources: [../base]\n",
			"two/kustomization.yaml":  "namespace: two\nresources: [../base]\n",
			"base/kustomization.yaml": "resources: [s.yaml]\nconfigMapGenerator: [{name: more, literals: [a=b]}]\n",
			"base/s.yaml":             settings + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys}\n",
		},
		change: map[string]string{
			"top/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more, namespace: one}\ndata: {by: somebody}\n---\n" +
				"apiVersion: v1\nkind: Secret\nmetadata: {name: keys, namespace: two}\nstringData: {by: somebody}\n",
		},
	},
	"PatchWithoutTarget": {
		why:    "a patch without a target must find its object",
		files:  map[string]string{"top/kustomization.yaml": "resources: [s.yaml, p.yaml]\npatches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: b}}'}]\n", "top/s.yaml": settings, "top/p.yaml": pod},
		change: map[string]string{"top/s.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: gone}\n"},
		fails:  true,
	},
	"PatchOrder": {
		why: "patches with and without a target are applied in their order",
		files: map[string]string{
			"top/kustomization.yaml": "resources: [s.yaml]\npatches: [{path: a.yaml}, {path: b.yaml, target: {kind: ConfigMap}}]\n", "top/s.yaml": settings,
			"top/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {by: a}\n", "top/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {by: b}\n",
		},
		change: map[string]string{"top/kustomization.yaml": "resources: [s.yaml]\npatches: [{path: b.yaml, target: {kind: ConfigMap}}, {path: a.yaml}]\n"},
	},
	"Component": {
		why: "a component that becomes invalid fails the build, though no object passes through it",
		files: map[string]string{
			"top/kustomization.yaml": "components: [../empty, ../full]\n", "empty/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamespace: x\n",
			"full/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [s.yaml]\n", "full/s.yaml": settings,
		},
		change: map[string]string{"empty/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches: [{patch: '[{\"op\": \"add\", \"path\": \"/x\", \"value\": 1}]', target: {name: '['}}]\n"},
		fails:  true,
	},
	"Barren": {
		why: "a directory without objects may be wrong all the same",
		files: map[string]string{
			"top/kustomization.yaml": "resources: [s.yaml, ../none]\n", "top/s.yaml": settings, "none/kustomization.yaml": "namespace: x\n",
		},
		change: map[string]string{"none/kustomization.yaml": "namespace: x\npatches: [{patch: '[{\"op\": \"add\", \"path\": \"/x\", \"value\": 1}]', target: {name: '['}}]\n"},
		whole:  true, fails: true,
	},
	"Prefix": {
		why:    "names that change are not followed",
		files:  map[string]string{"top/kustomization.yaml": "namePrefix: x-\nresources: [p.yaml, s.yaml]\n", "top/p.yaml": pod, "top/s.yaml": settings},
		change: map[string]string{"top/s.yaml": settings + "data: {a: b}\n"},
		whole:  true,
	},
	"NamespaceObject": {
		why:    "the namespace transformer renames the Namespace itself",
		files:  map[string]string{"top/kustomization.yaml": "namespace: new\nresources: [n.yaml, s.yaml]\npatches: [{patch: '{apiVersion: v1, kind: Namespace, metadata: {name: old, labels: {a: b}}}'}]\n", "top/n.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: old}\n", "top/s.yaml": settings},
		change: map[string]string{"top/s.yaml": settings + "data: {a: b}\n"},
	},
	"LocalConfig": {
		why:    "an object for the build only is left out",
		files:  map[string]string{"top/kustomization.yaml": "resources: [s.yaml, p.yaml]\n", "top/p.yaml": pod, "top/s.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, annotations: {config.kubernetes.io/local-config: 'true'}}\n"},
		change: map[string]string{"top/s.yaml": settings},
	},
	"Replicas": {
		why: "a count must find its object",
		files: map[string]string{
			"top/kustomization.yaml": "resources: [s.yaml, d.yaml]\nreplicas: [{name: web, count: 4}]\n", "top/s.yaml": settings,
			"top/d.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1}\n---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web}\nspec: {replicas: 1}\n",
		},
		change: map[string]string{"top/d.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec: {replicas: 1}\n"},
		fails:  true,
	},
}

// TestApart builds trees in which objects depend on each other, each document by a run of its own,
// and demands what the whole build gives; then again after a change of one file.
func TestApart(t *testing.T) {
	for name, test := range apartCases {
		t.Run(name, func(t *testing.T) {
			builder := NewBuilder(manifest.Limits{}, 1<<20)
			builder.batch = 1
			before := treeOf(test.files)
			known := buildBoth(t, builder, before, nil, test.why, false)
			if isWhole := len(known.sources) == 0; isWhole != test.whole {
				t.Errorf("%s: built whole %v, want %v", test.why, isWhole, test.whole)
			}
			after := map[string]string{}
			for file, text := range test.files {
				after[file] = text
			}
			for file, text := range test.change {
				after[file] = text
			}
			buildBoth(t, builder, treeOf(after), known, test.why, test.fails)
		})
	}
}

func buildBoth(t *testing.T, builder *Builder, at memTree, known *Progress, why string, fails bool) *Progress { //nolint:revive // fails is what is expected
	t.Helper()
	want, wantErr := builder.Full(context.Background(), at, Spec{Path: "top"})
	got, err := builder.Build(context.Background(), at, Spec{Path: "top"}, known)
	if (wantErr != nil) != fails || (err != nil) != fails {
		t.Fatalf("%s: error %v, of the whole %v; want one: %v", why, err, wantErr, fails)
	}
	if diff := cmp.Diff(texts(want.Objects), texts(got.Objects)); diff != "" {
		t.Fatalf("%s (-whole +apart):\n%s", why, diff)
	}
	return got.Progress
}
