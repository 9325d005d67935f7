package examples_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"path"
	"slices"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"holdfast.dev/holdfast/examples"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render"
)

// unit is a rendered Flux Kustomization.
type unit struct {
	name    string
	spec    kustomizev1.KustomizationSpec
	objects []*unstructured.Unstructured // in the order of writing
}

// environment is what one cluster directory delivers: its root and the chain below it.
type environment struct {
	root  unit
	units []unit // in the order of the chain
}

// all returns the objects of the root and of every unit, in the order of delivery.
func (e environment) all() []*unstructured.Unstructured {
	objects := slices.Clone(e.root.objects)
	for _, u := range e.units {
		objects = append(objects, u.objects...)
	}
	return objects
}

// find returns the one object of that kind and name, in any namespace; nil where there is none.
func (e environment) find(kind, name string) *unstructured.Unstructured {
	for _, object := range e.all() {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	return nil
}

// need is find for what has to be there.
func (e environment) need(t *testing.T, kind, name string) *unstructured.Unstructured {
	t.Helper()
	found := e.find(kind, name)
	if found == nil {
		t.Fatalf("no %s %s", kind, name)
	}
	return found
}

// renderEnvironment renders the root of a cluster, then each unit that the root contains, in the order
// in which they depend on each other, with the variables that earlier units deliver.
func renderEnvironment(t *testing.T, repository tree.Tree, name string) environment {
	t.Helper()
	renderer := render.New(render.Options{})
	build := func(u *unit, variables render.Variables) {
		u.objects = build(t, renderer, render.Input{
			Owner: object.Owner{Namespace: "flux-system", Name: u.name},
			Tree:  repository, Path: u.spec.Path, Variables: variables,
		})
	}
	env := environment{root: unit{name: "flux-system", spec: kustomizev1.KustomizationSpec{Path: path.Join("clusters", name)}}}
	build(&env.root, render.Variables{})
	for _, next := range chain(t, env.root.objects) {
		build(&next, variables(t, next.spec, env))
		env.units = append(env.units, next)
	}
	return env
}

// chain reads the units of a root and puts each after what it depends on.
func chain(t *testing.T, root []*unstructured.Unstructured) []unit {
	t.Helper()
	waiting := map[string]unit{}
	for _, object := range root {
		var kustomization kustomizev1.Kustomization
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &kustomization, true); err != nil {
			t.Fatalf("%s: %v", identity(object), err)
		}
		waiting[kustomization.Name] = unit{name: kustomization.Name, spec: kustomization.Spec}
	}
	var ordered []unit
	for len(waiting) > 0 {
		free := slices.Sorted(maps.Keys(waiting))
		free = slices.DeleteFunc(free, func(name string) bool {
			return slices.ContainsFunc(waiting[name].spec.DependsOn, func(dependency kustomizev1.DependencyReference) bool {
				_, still := waiting[dependency.Name]
				return still
			})
		})
		if len(free) == 0 {
			t.Fatalf("units depend on each other in a circle: %v", slices.Sorted(maps.Keys(waiting)))
		}
		for _, name := range free {
			ordered = append(ordered, waiting[name])
			delete(waiting, name)
		}
	}
	return ordered
}

// variables reads the ConfigMaps that a unit substitutes from.
func variables(t *testing.T, spec kustomizev1.KustomizationSpec, env environment) render.Variables {
	t.Helper()
	if spec.PostBuild == nil {
		return render.Variables{}
	}
	values := map[string]string{}
	for _, reference := range spec.PostBuild.SubstituteFrom {
		held := env.need(t, reference.Kind, reference.Name)
		if reference.Kind == "Secret" {
			maps.Copy(values, secretData(t, held))
			continue
		}
		data, _, err := unstructured.NestedStringMap(held.Object, "data")
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(values, data)
	}
	return render.Variables{Enabled: true, Values: values}
}

// secretData returns what a Secret holds, decoded.
func secretData(t *testing.T, object *unstructured.Unstructured) map[string]string {
	t.Helper()
	var secret corev1.Secret
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &secret); err != nil {
		t.Fatalf("%s: %v", identity(object), err)
	}
	values := maps.Clone(secret.StringData)
	if values == nil {
		values = map[string]string{}
	}
	for name, value := range secret.Data {
		values[name] = string(value)
	}
	return values
}

func build(t *testing.T, renderer *render.Renderer, input render.Input) []*unstructured.Unstructured {
	t.Helper()
	output, err := renderer.Render(t.Context(), input)
	if err != nil {
		t.Fatalf("rendering %s: %v", input.Path, err)
	}
	objects := make([]*unstructured.Unstructured, len(output.Objects))
	for i, rendered := range output.Objects {
		if objects[i], err = rendered.Decode(); err != nil {
			t.Fatal(err)
		}
	}
	return objects
}

// files is a tree in memory.
type files struct {
	index   *tree.Index
	content map[string][]byte
}

func (f files) Revision() string   { return "main@sha1:example" }
func (f files) Digest() string     { return "sha256:example" }
func (f files) Index() *tree.Index { return f.index }

func (f files) Read(name string) ([]byte, error) {
	content, found := f.content[tree.Clean(name)]
	if !found {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return content, nil
}

// platform returns the example platform as a tree, with further files added.
func platform(t *testing.T, added map[string]string) files {
	t.Helper()
	content := map[string][]byte{}
	err := fs.WalkDir(examples.Platform(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			content[name], err = fs.ReadFile(examples.Platform(), name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range added {
		content[name] = []byte(text)
	}
	var entries []tree.Entry
	for name, bytes := range content {
		sum := sha256.Sum256(bytes)
		entries = append(entries, tree.Entry{
			Path: name, Hash: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(bytes)), Mode: 0o644,
		})
	}
	return files{index: tree.NewIndex(entries), content: content}
}
