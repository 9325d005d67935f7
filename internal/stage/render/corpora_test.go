package render_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render"
	"holdfast.dev/holdfast/internal/store/dirtree"
)

// corpora finds the folder of real repositories, or skips the test.
func corpora(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("HOLDFAST_CORPORA"); dir != "" {
		return dir
	}
	dir := filepath.Join("..", "..", "..", "..", "shared", "corpora")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no corpora: set HOLDFAST_CORPORA or put them into ../shared/corpora")
	}
	return dir
}

func openDir(t *testing.T, dir string) tree.Tree {
	t.Helper()
	opened, err := dirtree.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

// unit is what the walk needs of a Flux Kustomization. It is written here a second time, so that it
// shares no mistake with the controller.
type unit struct {
	Metadata struct{ Namespace, Name string }
	Spec     struct {
		Path            string
		TargetNamespace string
		NamePrefix      string
		NameSuffix      string
		Components      []string
		DependsOn       []struct{ Name, Namespace string }
		SourceRef       struct{ Kind, Name string }
		Patches         []struct {
			Patch  string
			Target *render.Selector
		}
		Images         []render.Image
		CommonMetadata struct{ Labels, Annotations map[string]string }
		PostBuild      *struct {
			Substitute         map[string]string
			SubstituteStrategy string
			SubstituteFrom     []struct {
				Kind, Name string
				Optional   bool
			}
		}
	}
}

// walk renders a unit and the units that it delivers, in the order of their dependencies.
type walk struct {
	t         *testing.T
	renderer  *render.Renderer
	trees     map[string]tree.Tree         // by the name of the source
	known     map[string]map[string]string // data of rendered ConfigMaps and Secrets
	variables map[string]string            // what a cluster would add at run time
	units     int
	objects   []string
	done      map[string]bool
}

func (w *walk) input(u unit) render.Input {
	files := w.trees[u.Spec.SourceRef.Name]
	input := render.Input{
		Owner: object.Owner{Namespace: u.Metadata.Namespace, Name: u.Metadata.Name},
		Tree:  files, Path: u.Spec.Path, TargetNamespace: u.Spec.TargetNamespace,
		NamePrefix: u.Spec.NamePrefix, NameSuffix: u.Spec.NameSuffix, Components: u.Spec.Components,
		Images: u.Spec.Images, Labels: u.Spec.CommonMetadata.Labels, Annotations: u.Spec.CommonMetadata.Annotations,
		KeepEncrypted: true,
	}
	for _, patch := range u.Spec.Patches {
		input.Patches = append(input.Patches, render.Patch{Patch: patch.Patch, Target: patch.Target})
	}
	if post := u.Spec.PostBuild; post != nil {
		input.Variables = render.Variables{Enabled: true, Always: post.SubstituteStrategy == "Always", Values: map[string]string{}}
		for _, from := range post.SubstituteFrom {
			values, found := w.known[u.Metadata.Namespace+"/"+from.Name]
			if !found {
				values = w.variables
			}
			for name, value := range values {
				input.Variables.Values[name] = value
			}
		}
		for name, value := range post.Substitute {
			input.Variables.Values[name] = value
		}
	}
	return input
}

func (w *walk) visit(u unit) {
	w.t.Helper()
	if w.done[u.Metadata.Namespace+"/"+u.Metadata.Name] {
		return
	}
	w.done[u.Metadata.Namespace+"/"+u.Metadata.Name] = true
	input := w.input(u)
	if input.Tree == nil || !input.Tree.Index().IsDir(u.Spec.Path) {
		return // of another repository
	}
	output, err := w.renderer.Render(context.Background(), input)
	if err != nil {
		w.t.Errorf("%s: %v", input.Owner, err)
		return
	}
	w.units++
	var next []unit
	for _, one := range output.Objects {
		w.objects = append(w.objects, strings.Join([]string{one.GVK().GroupVersion().String(), one.Kind, one.Namespace, one.Name}, "/"))
		switch {
		case one.Kind == "ConfigMap" || one.Kind == "Secret":
			var held struct{ Data, StringData map[string]string }
			if json.Unmarshal(one.JSON, &held) == nil && one.Kind == "ConfigMap" {
				w.known[one.Namespace+"/"+one.Name] = held.Data
			}
		case one.Kind == "Kustomization" && one.Group == "kustomize.toolkit.fluxcd.io":
			var child unit
			if err := json.Unmarshal(one.JSON, &child); err != nil {
				w.t.Fatal(err)
			}
			next = append(next, child)
		}
	}
	for _, child := range byDependency(next) {
		w.visit(child)
	}
}

// byDependency puts units behind those that they depend on.
func byDependency(units []unit) []unit {
	var ordered []unit
	placed := map[string]bool{}
	for len(ordered) < len(units) {
		before := len(ordered)
		for _, u := range units {
			waits := placed[u.Metadata.Name]
			for _, dependency := range u.Spec.DependsOn {
				waits = waits || !placed[dependency.Name] && slices.ContainsFunc(units, func(other unit) bool { return other.Metadata.Name == dependency.Name })
			}
			if !waits {
				placed[u.Metadata.Name] = true
				ordered = append(ordered, u)
			}
		}
		if len(ordered) == before {
			return units
		}
	}
	return ordered
}

func hashLines(lines []string) string {
	sorted := slices.Sorted(slices.Values(lines))
	sum := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	return hex.EncodeToString(sum[:])[:16]
}

// withStubs adds files that the snapshot of a repository lacks, because it holds neither scripts nor
// what is generated: each with a number of objects, or with a line of text for none.
func withStubs(t *testing.T, files tree.Tree, stubs map[string]int) tree.Tree {
	t.Helper()
	if len(stubs) == 0 {
		return files
	}
	all := map[string]string{}
	for _, entry := range files.Index().Entries() {
		data, err := files.Read(entry.Path)
		if err != nil {
			t.Fatal(err)
		}
		all[entry.Path] = string(data)
	}
	for name, objects := range stubs {
		all[name] = "# stub\n"
		for i := range objects {
			all[name] += "---\n" + configMap(fmt.Sprintf("stub-%d", i), "stub")
		}
	}
	return treeOf(all)
}

func newWalk(t *testing.T, trees map[string]tree.Tree) *walk {
	t.Helper()
	return &walk{
		t: t, renderer: render.New(render.Options{}), trees: trees,
		known: map[string]map[string]string{}, done: map[string]bool{},
	}
}

func (w *walk) root(path string) {
	w.t.Helper()
	var root unit
	root.Metadata.Namespace, root.Metadata.Name, root.Spec.Path = "flux-system", "root of "+path, path
	root.Spec.SourceRef.Name = "flux-system"
	w.visit(root)
}

// TestCorporaWalk delivers real repositories from their roots. The numbers are those of an
// independent renderer.
func TestCorporaWalk(t *testing.T) {
	dir := corpora(t)
	cases := map[string]struct {
		repository, path         string
		variables                map[string]string
		stubs                    map[string]int
		units, objects, distinct int
		hash                     string
	}{
		"onedr0p": {
			repository: "onedr0p-home-ops", path: "kubernetes/flux/cluster", units: 79, objects: 519, distinct: 519, hash: "0cb10bb0ee4e7aa4",
			variables: map[string]string{"CLOUDFLARE_TUNNEL_ID": "known at run time"},
			stubs: map[string]int{
				"kubernetes/apps/default/sonarr/app/resources/refresh-series.sh": 0, "kubernetes/apps/default/sonarr/app/resources/tag-resolution.sh": 0,
			},
		},
		"helm staging":    {repository: "flux2-kustomize-helm-example", path: "clusters/staging", units: 4, objects: 13, distinct: 13},
		"helm production": {repository: "flux2-kustomize-helm-example", path: "clusters/production", units: 4, objects: 13, distinct: 13},
		"monitoring":      {repository: "flux2-monitoring-example", path: "clusters/test", units: 3, objects: 11, distinct: 11},
		"sqnc": {
			repository: "sqnc-flux-infra", path: "clusters/kind-cluster/base", units: 13, objects: 162, distinct: 113,
			stubs: map[string]int{"clusters/kind-cluster/keycloak/realms.yaml": 1, "clusters/kind-cluster/base/flux-system/gotk-components.yaml": 32},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			files := withStubs(t, openDir(t, filepath.Join(dir, test.repository)), test.stubs)
			w := newWalk(t, map[string]tree.Tree{"flux-system": files})
			w.variables = test.variables
			w.root(test.path)
			got, want := []int{w.units, len(w.objects), distinct(w.objects)}, []int{test.units, test.objects, test.distinct}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("units, objects, different objects (-got +want):\n%s", diff)
			}
			if hash := hashLines(w.objects); test.hash != "" && hash != test.hash {
				t.Errorf("hash %s, want %s:\n%s", hash, test.hash, strings.Join(w.objects, "\n"))
			}
		})
	}
}

func distinct(lines []string) int {
	return len(slices.Compact(slices.Sorted(slices.Values(lines))))
}

// TestCorporaRoots renders directories one by one.
func TestCorporaRoots(t *testing.T) {
	dir := corpora(t)
	stages := func(parts ...string) (paths []string) {
		for _, part := range parts {
			paths = append(paths, "components/"+part+"/staging", "components/"+part+"/production")
		}
		return append(paths, "update")
	}
	for repository, test := range map[string]struct {
		paths   []string
		objects int
	}{
		"d1-fleet": {[]string{"tenants/apps", "tenants/infra"}, 27},
		"d1-infra": {stages("monitoring/controllers", "monitoring/configs", "admission/controllers", "admission/configs"), 40},
		"d1-apps":  {stages("backend", "frontend"), 16},
		"flux2-multi-tenancy": {
			[]string{"infrastructure/kyverno", "infrastructure/kyverno-policies", "tenants/staging", "tenants/production"}, 14,
		},
	} {
		t.Run(repository, func(t *testing.T) {
			files, total := openDir(t, filepath.Join(dir, repository)), 0
			for _, path := range test.paths {
				output, err := render.New(render.Options{}).Render(context.Background(), render.Input{Owner: owner, Tree: files, Path: path})
				if err != nil {
					t.Error(err)
				}
				total += len(output.Objects)
			}
			if total != test.objects {
				t.Errorf("%d objects, want %d", total, test.objects)
			}
		})
	}
}

// TestCorporaFluxBuild compares with what Flux's own build command prints.
func TestCorporaFluxBuild(t *testing.T) {
	dir := filepath.Join(corpora(t), "flux2-build", "build-kustomization")
	files := openDir(t, dir)
	for path, golden := range map[string]string{
		"podinfo": "podinfo-result.yaml", "delete-service": "podinfo-without-service-result.yaml",
		"var-substitution": "podinfo-with-var-substitution-result.yaml",
	} {
		t.Run(path, func(t *testing.T) {
			output, err := render.New(render.Options{}).Render(context.Background(), render.Input{
				Owner: object.Owner{Namespace: "flux-system", Name: "podinfo"}, Tree: files, Path: path, TargetNamespace: "default",
				Variables:     render.Variables{Enabled: true, Values: map[string]string{"cluster_env": "prod", "cluster_region": "eu-central-1"}},
				KeepEncrypted: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(dir, golden))
			if err != nil {
				t.Fatal(err)
			}
			want := goldenObjects(t, strings.ReplaceAll(string(text), "{{ .fluxns }}", "flux-system"))
			got := map[string]map[string]any{}
			for _, one := range output.Objects {
				u, err := one.Decode()
				if err != nil {
					t.Fatal(err)
				}
				got[one.Ref.String()] = withoutSecrets(u)
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("objects (-got +want):\n%s", diff)
			}
		})
	}
}

func goldenObjects(t *testing.T, text string) map[string]map[string]any {
	t.Helper()
	objects := map[string]map[string]any{}
	for _, doc := range strings.Split(text, "---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		raw, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw); err != nil {
			t.Fatal(err)
		}
		if err := normalize.UnstructuredList([]*unstructured.Unstructured{u}); err != nil {
			t.Fatal(err)
		}
		objects[object.RefOf(u).String()] = withoutSecrets(u)
	}
	return objects
}

// withoutSecrets drops what is encrypted in the repository and masked in the golden file.
func withoutSecrets(u *unstructured.Unstructured) map[string]any {
	_, encrypted := u.Object["sops"]
	if u.GetKind() == "Secret" && (encrypted || !strings.HasPrefix(u.GetName(), "db-user-pass")) {
		delete(u.Object, "sops")
		delete(u.Object, "data")
	}
	return u.Object
}
