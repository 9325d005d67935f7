package install_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"holdfast.dev/holdfast/config/crd"
	"holdfast.dev/holdfast/config/install"
)

// TestAsKustomizeBuildsIt: `kubectl apply -k` and `holdfast install` install the same.
func TestAsKustomizeBuildsIt(t *testing.T) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), ".")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{}
	for _, resource := range built.Resources() {
		if resource.GetKind() == "CustomResourceDefinition" {
			continue
		}
		content, err := resource.Map()
		if err != nil {
			t.Fatal(err)
		}
		want[resource.GetKind()+"/"+resource.GetName()] = plain(t, content)
	}
	got := map[string]any{}
	for _, u := range objects(t, install.Options{Image: "holdfast-controller"}) {
		got[u.GetKind()+"/"+u.GetName()] = plain(t, u.Object)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kustomize builds something else (-kustomize +install):\n%s", diff)
	}
}

// TestDefinitionsAreAllListed: a definition that kustomize does not know of would not be installed.
func TestDefinitionsAreAllListed(t *testing.T) {
	listed, err := os.ReadFile(filepath.Join("..", "crd", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(crd.Files(), "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(string(listed), "  - "+name+"\n") {
			t.Errorf("config/crd/kustomization.yaml does not list %s", name)
		}
	}
	if lines := strings.Count(string(listed), "  - "); lines != len(names) {
		t.Errorf("config/crd/kustomization.yaml lists %d files, want %d", lines, len(names))
	}
}

func TestOptions(t *testing.T) {
	all := objects(t, install.Options{Image: "registry.example.org/holdfast:1", Namespace: "delivery", Replicas: 2, DefaultServiceAccount: "tenant"})
	for _, u := range all {
		content, err := u.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), install.DefaultNamespace) {
			t.Errorf("%s %s still names %s: %s", u.GetKind(), u.GetName(), install.DefaultNamespace, content)
		}
		if strings.Contains(string(content), "cluster-admin") {
			t.Errorf("where units act as accounts, the controller needs no right to do everything: %s", content)
		}
	}
	at := slices.IndexFunc(all, func(u *unstructured.Unstructured) bool { return u.GetKind() == "Deployment" })
	replicas, _, _ := unstructured.NestedInt64(all[at].Object, "spec", "replicas")
	containers, _, _ := unstructured.NestedSlice(all[at].Object, "spec", "template", "spec", "containers")
	container, _ := containers[0].(map[string]any)
	args, _ := json.Marshal(container["args"])
	if replicas != 2 || container["image"] != "registry.example.org/holdfast:1" ||
		!strings.Contains(string(args), `"--no-cross-namespace-refs","--default-service-account=tenant"`) {
		t.Errorf("replicas %d, image %v, arguments %s", replicas, container["image"], args)
	}
	if _, err := install.Objects(install.Options{}); err == nil {
		t.Error("there is no image to fall back to, so none must be an error")
	}
}

func objects(t *testing.T, o install.Options) []*unstructured.Unstructured {
	t.Helper()
	all, err := install.Objects(o)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// plain gives all numbers one type.
func plain(t *testing.T, content any) any {
	t.Helper()
	raw, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
