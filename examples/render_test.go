package examples_test

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/envsubst"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/examples"
)

// unit is a rendered Flux Kustomization.
type unit struct {
	name    string
	after   []string // names of the units that it depends on
	objects []*unstructured.Unstructured
}

// environment is what one cluster directory delivers: its root and the chain below it.
type environment struct {
	root  []*unstructured.Unstructured
	units []unit // in the order of the chain
}

// all returns the objects of the root and of every unit, in the order of delivery.
func (e environment) all() []*unstructured.Unstructured {
	objects := slices.Clone(e.root)
	for _, u := range e.units {
		objects = append(objects, u.objects...)
	}
	return objects
}

// find returns the one object of that kind and name, in any namespace.
func (e environment) find(t *testing.T, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range e.all() {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return nil
}

// has tells whether an object of that kind and name is delivered.
func (e environment) has(kind, name string) bool {
	return slices.ContainsFunc(e.all(), func(object *unstructured.Unstructured) bool {
		return object.GetKind() == kind && object.GetName() == name
	})
}

// renderEnvironment builds the root of a cluster and then each unit that the root contains, with the
// variables that earlier units deliver.
func renderEnvironment(t *testing.T, disk filesys.FileSystem, name string) environment {
	t.Helper()
	env := environment{root: build(t, disk, path.Join("clusters", name), nil)}
	for _, object := range env.root {
		env.units = append(env.units, renderUnit(t, disk, object, env))
	}
	return env
}

// renderUnit builds one Flux Kustomization of the root.
func renderUnit(t *testing.T, disk filesys.FileSystem, object *unstructured.Unstructured, env environment) unit {
	t.Helper()
	if kind := object.GetKind(); kind != "Kustomization" {
		t.Fatalf("the root delivers %s %s; only Flux Kustomizations belong there", kind, object.GetName())
	}
	u := unit{name: object.GetName()}
	dependencies, _, _ := unstructured.NestedSlice(object.Object, "spec", "dependsOn")
	for _, dependency := range dependencies {
		u.after = append(u.after, dependency.(map[string]any)["name"].(string))
	}
	dir, _, _ := unstructured.NestedString(object.Object, "spec", "path")
	u.objects = build(t, disk, dir, variables(t, object, env))
	return u
}

// variables reads the ConfigMaps that a unit substitutes from; nil when it substitutes nothing.
func variables(t *testing.T, object *unstructured.Unstructured, env environment) map[string]string {
	t.Helper()
	references, found, _ := unstructured.NestedSlice(object.Object, "spec", "postBuild", "substituteFrom")
	if !found {
		return nil
	}
	values := map[string]string{}
	for _, reference := range references {
		config := env.find(t, "ConfigMap", reference.(map[string]any)["name"].(string))
		data, _, err := unstructured.NestedStringMap(config.Object, "data")
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(values, data)
	}
	return values
}

// build runs kustomize on a directory and substitutes variables in each object, strictly.
func build(t *testing.T, disk filesys.FileSystem, dir string, values map[string]string) []*unstructured.Unstructured {
	t.Helper()
	dir = path.Join("/", dir)
	generate(t, disk, dir)
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, dir)
	if err != nil {
		t.Fatalf("building %s: %v", dir, err)
	}
	var objects []*unstructured.Unstructured
	for _, resource := range built.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, decode(t, dir, string(text), values))
	}
	return objects
}

func decode(t *testing.T, dir, text string, values map[string]string) *unstructured.Unstructured {
	t.Helper()
	if values != nil {
		var err error
		text, err = envsubst.Eval(text, func(name string) (string, bool) {
			value, found := values[name]
			return value, found
		})
		if err != nil {
			t.Fatalf("substituting in %s: %v\n%s", dir, err, text)
		}
	}
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
		t.Fatalf("decoding an object of %s: %v\n%s", dir, err, text)
	}
	return object
}

// generate writes the kustomization of a directory that has none, as the controller does: its YAML
// files and those below it, and whole directories where they have a kustomization of their own.
func generate(t *testing.T, disk filesys.FileSystem, dir string) {
	t.Helper()
	if disk.Exists(path.Join(dir, "kustomization.yaml")) {
		return
	}
	var resources []string
	err := disk.Walk(dir, func(name string, info fs.FileInfo, err error) error {
		relative := strings.TrimPrefix(name, dir+"/")
		switch {
		case err != nil:
			return err
		case info.IsDir() && disk.Exists(path.Join(name, "kustomization.yaml")):
			resources = append(resources, relative)
			return filepath.SkipDir
		case path.Ext(name) == ".yaml":
			resources = append(resources, relative)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("resources: [%s]\n", strings.Join(resources, ", "))
	if err := disk.WriteFile(path.Join(dir, "kustomization.yaml"), []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// platformOnDisk copies the platform to where kustomize can read it.
func platformOnDisk(t *testing.T) filesys.FileSystem {
	t.Helper()
	disk := filesys.MakeFsInMemory()
	err := fs.WalkDir(examples.Platform(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(examples.Platform(), name)
		if err != nil {
			return err
		}
		return disk.WriteFile(path.Join("/", name), content)
	})
	if err != nil {
		t.Fatal(err)
	}
	return disk
}
