package operator_test

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// group is an API group of the world's own: definitions are shared by all of the cluster.
func (w *world) group() string { return w.namespace + ".example.org" }

func (w *world) definition(kind string) string {
	plural := strings.ToLower(kind) + "s"
	return "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: " + plural + "." + w.group() +
		"\nspec:\n  group: " + w.group() + "\n  scope: Namespaced\n  names: {kind: " + kind + ", plural: " + plural + "}\n" +
		"  versions:\n    - name: v1\n      served: true\n      storage: true\n      schema:\n        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}\n"
}

func (w *world) resource(kind, name, size string) string {
	return "apiVersion: " + w.group() + "/v1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\nspec: {size: " + size + "}\n"
}

// TestDefinitionAndResourceInOneCommit: Flux needs two units and a dependency for that.
func TestDefinitionAndResourceInOneCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("apps", map[string]string{"apps/a.yaml": w.resource("Widget", "one", "small"), "apps/z.yaml": w.definition("Widget")})
	about := w.object(w.group()+"/v1", "Widget", "one")
	w.edit(about, func(u *unstructured.Unstructured) { _ = unstructured.SetNestedField(u.Object, "large", "spec", "size") })
	await(w, about, "small again", func(u *unstructured.Unstructured) bool { return u != nil && field(u, "spec", "size") == "small" })

	// Both go in one commit, too, and come back.
	w.ready("apps", w.commit(map[string]string{"apps/a.yaml": "", "apps/z.yaml": "", "apps/b.yaml": configMap("settings")}))
	definition := &unstructured.Unstructured{}
	definition.SetAPIVersion("apiextensions.k8s.io/v1")
	definition.SetKind("CustomResourceDefinition")
	definition.SetName("widgets." + w.group())
	await(w, definition, "gone", gone)
	w.ready("apps", w.commit(map[string]string{"apps/a.yaml": w.resource("Widget", "one", "medium"), "apps/z.yaml": w.definition("Widget")}))
	if live := read(w, about); live == nil || field(live, "spec", "size") != "medium" {
		t.Errorf("after its return: %s", describe(live))
	}
}

// TestDefinitionFromElsewhere: a unit whose kind comes from another one is delivered when it is there.
func TestDefinitionFromElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revision := w.commit(map[string]string{"apps/a.yaml": w.resource("Gadget", "one", "small"), "crds/a.yaml": w.definition("Gadget")})
	w.source()
	w.unit("apps")
	w.failed("apps", "ReconciliationFailed", "Gadget")
	w.unit("crds")
	w.ready("apps", revision)
}

// TestNamespaceAndContentInOneCommit: and what a namespace lacks is said, not made up.
func TestNamespaceAndContentInOneCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.namespace + "-b"
	t.Cleanup(func() { w.delete(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: other}}) })
	revision := w.commit(map[string]string{
		"apps/a.yaml": strings.Replace(configMap("settings"), "  name:", "  namespace: "+other+"\n  name:", 1),
		"team/a.yaml": configMap("settings", "color: blue"),
		"bare/a.yaml": configMap("settings"),
		"apps/b.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + other + "\n",
	})
	w.source()
	w.unit("team", func(u *kustomizev1.Kustomization) { u.Spec.TargetNamespace = other })
	w.failed("team", "ReconciliationFailed", `namespaces "`+other+`" not found`)
	w.unit("bare", func(u *kustomizev1.Kustomization) { u.Spec.TargetNamespace = "" })
	w.failed("bare", "ReconciliationFailed", "ConfigMap/settings namespace not specified")
	w.unit("apps", func(u *kustomizev1.Kustomization) {
		u.Spec.TargetNamespace = ""
		u.Spec.DeletionPolicy = kustomizev1.DeletionPolicyOrphan
	})
	w.ready("apps", revision)
	w.ready("team", revision)
}

// TestClusterScopedObjects: a namespace that a transformer puts on them is not part of their identity.
func TestClusterScopedObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: " + w.namespace + ":reader\nrules: []\n"
	// kustomize does not know that a Cluster kind of an unknown group has no namespace.
	kind := strings.Replace(w.definition("Planet"), "scope: Namespaced", "scope: Cluster", 1)
	u := w.deliver("apps", map[string]string{"apps/a.yaml": role, "apps/b.yaml": kind, "apps/c.yaml": w.resource("Planet", "earth", "large")})
	var ids []string
	for _, entry := range u.Status.Inventory.Entries {
		ids = append(ids, entry.ID)
	}
	want := "_earth_" + w.group() + "_Planet _planets." + w.group() + "_apiextensions.k8s.io_CustomResourceDefinition _" +
		w.namespace + "__reader_rbac.authorization.k8s.io_ClusterRole"
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("inventory: %s\nwant       %s", got, want)
	}
	w.remove("apps")
}
