package kustomize

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render/confine"
	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// memTree is a tree in memory.
type memTree struct {
	index *tree.Index
	files map[string]string
}

func treeOf(files map[string]string) memTree {
	entries := make([]tree.Entry, 0, len(files))
	for name, content := range files {
		sum := sha256.Sum256([]byte(content))
		entries = append(entries, tree.Entry{
			Path: name, Hash: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(content)), Mode: 0o644,
		})
	}
	return memTree{index: tree.NewIndex(entries), files: files}
}

func (t memTree) Revision() string   { return "test" }
func (t memTree) Digest() string     { return "sha256:test" }
func (t memTree) Index() *tree.Index { return t.index }

func (t memTree) Read(name string) ([]byte, error) {
	content, found := t.files[tree.Clean(name)]
	if !found {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(content), nil
}

// world makes random platforms that are mostly sound, from few names, so that things collide and
// refer to each other.
type world struct {
	*rand.Rand
	files map[string]string
	dirs  []string // in the order in which they may include each other
	next  int
	// dense worlds have few names and kinds, many namespaces and generators: everything could refer
	// to everything.
	dense bool
	alone bool // each document is built by a run of its own
}

func pick[T any](w *world, from ...T) T { return from[w.IntN(len(from))] }

func (w *world) chance(percent int) bool { return w.IntN(100) < percent }

func (w *world) name() string { return pick(w, "web", "api", "db", "cache", "job") }

func (w *world) namespace() string {
	if w.dense {
		return pick(w, "", "default", "one", "two", "three", "four", "five")
	}
	return pick(w, "", "", "", "default", "one", "two")
}

func (w *world) metadata(name string) string {
	text := "metadata:\n  name: " + name + "\n"
	if namespace := w.namespace(); namespace != "" {
		text += "  namespace: " + namespace + "\n"
	}
	if w.chance(30) {
		text += "  labels: {tier: " + pick(w, "front", "back") + "}\n"
	}
	if w.chance(15) {
		text += "  annotations: {note: " + pick(w, "x", "y") + "}\n"
	}
	if w.chance(2) {
		text += "  annotations: {config.kubernetes.io/local-config: 'true'}\n"
	}
	return text
}

// unique makes a name that only a few objects have, so that most trees build.
func (w *world) unique() string {
	if w.chance(4) || w.dense && w.chance(60) {
		return pick(w, w.name(), "generated", "keys")
	}
	w.next++
	return fmt.Sprintf("%s-%d", w.name(), w.next)
}

func (w *world) object() string {
	name := w.unique()
	meta := w.metadata(name)
	kind := w.IntN(13)
	if w.dense {
		kind = pick(w, 0, 2, 5, 6, 6, 8, 8, 8, 10)
	}
	switch kind {
	case 0, 1:
		return "apiVersion: v1\nkind: ConfigMap\n" + meta + "data:\n  value: v" + fmt.Sprint(w.IntN(100)) + "\n  text: |\n    line\n    $(HOST) ${x}\n"
	case 2, 3, 4:
		return w.deployment(meta)
	case 5:
		return "apiVersion: v1\nkind: Service\n" + meta + "spec:\n  selector: {app: " + name + "}\n  ports: [{port: 80}]\n"
	case 6, 7:
		return "apiVersion: v1\nkind: ServiceAccount\n" + meta
	case 8:
		return w.binding(meta)
	case 9:
		return "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n" + meta + "rules:\n- {apiGroups: [''], resources: [secrets], verbs: [get], resourceNames: [" + w.reference() + "]}\n"
	case 10:
		return "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\n" + meta +
			"webhooks:\n- name: a.example.org\n  clientConfig: {service: {name: " + w.reference() + ", namespace: " + pick(w, "default", "one", "two") + "}}\n"
	case 11:
		return "apiVersion: example.org/v1\nkind: Thing\n" + meta + "spec:\n  size: " + fmt.Sprint(w.IntN(9)) + "\n  ratio: 1.0\n  flag: yes\n  big: 12345678901234\n"
	default:
		return "apiVersion: v1\nkind: Secret\n" + meta + "stringData: {password: \"" + fmt.Sprint(w.IntN(100)) + "\"}\n"
	}
}

// reference is a name that an object may have.
func (w *world) reference() string {
	if w.dense && w.chance(60) {
		return pick(w, w.name(), "generated", "keys")
	}
	if w.next == 0 || w.chance(20) {
		return w.name()
	}
	return fmt.Sprintf("%s-%d", w.name(), 1+w.IntN(w.next))
}

func (w *world) deployment(meta string) string {
	return pick(w, "apiVersion: apps/v1\nkind: Deployment\n", "apiVersion: apps/v1\nkind: StatefulSet\n") + meta + fmt.Sprintf(`spec:
  replicas: %d
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec:
      serviceAccountName: %s
      containers:
      - name: main
        image: %s
        env:
        - {name: A, value: "%d"}
        envFrom:
        - configMapRef: {name: %s}
      volumes:
      - {name: v, configMap: {name: %s}}
      - {name: s, secret: {secretName: %s}}
`, w.IntN(5), w.reference(), pick(w, "nginx:1", "ghcr.io/org/app:v1", "busybox"), w.IntN(10), pick(w, "generated", "settings", w.reference()), pick(w, "generated", w.reference()), pick(w, "keys", w.reference()))
}

func (w *world) binding(meta string) string {
	subject := "{kind: ServiceAccount, name: " + pick(w, "default", w.reference()) + pick(w, "", ", namespace: one", ", namespace: two", ", namespace: default") + "}"
	return pick(w, "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n") + meta +
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: " + w.reference() + "}\nsubjects:\n- " + subject + "\n"
}

func (w *world) manifest() string {
	var docs []string
	for range 1 + w.IntN(3) {
		docs = append(docs, w.object())
	}
	switch w.IntN(60) {
	case 0:
		docs = append(docs, "# nothing\n")
	case 1:
		docs = append(docs, "apiVersion: v1\nkind: List\nitems:\n- "+strings.ReplaceAll(w.object(), "\n", "\n  ")+"\n")
	case 2:
		docs = append(docs, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+pick(w, "one", "two")+"}\n")
	case 3:
		docs = append(docs, "a: [\n")
	}
	text := strings.Join(docs, pick(w, "---\n", "---\n", "--- # next\n", "---\n---\n"))
	if w.chance(10) {
		text = strings.TrimSuffix(text, "\n")
	}
	if w.chance(5) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

// targets returns "apiVersion/kind/name" of some object in the files.
func (w *world) target() (apiVersion, kind, name, namespace string) {
	names := slices.Sorted(maps.Keys(w.files))
	for range 20 {
		doc := pick(w, strings.Split(w.files[pick(w, names...)], "---")...)
		for _, line := range strings.Split(doc, "\n") {
			line = strings.TrimSuffix(line, "\r")
			switch {
			case strings.HasPrefix(line, "apiVersion: "):
				apiVersion = strings.TrimPrefix(line, "apiVersion: ")
			case strings.HasPrefix(line, "kind: "):
				kind = strings.TrimPrefix(line, "kind: ")
			case strings.HasPrefix(line, "  name: ") && name == "":
				name = strings.TrimPrefix(line, "  name: ")
			case strings.HasPrefix(line, "  namespace: ") && namespace == "":
				namespace = strings.TrimPrefix(line, "  namespace: ")
			}
		}
		if apiVersion != "" && kind != "" && name != "" && kind != "Kustomization" && kind != "Component" {
			return apiVersion, kind, name, namespace
		}
		apiVersion, kind, name, namespace = "", "", "", ""
	}
	return "v1", "ConfigMap", "web", ""
}

func (w *world) strategic() string {
	apiVersion, kind, name, namespace := w.target()
	text := "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata:\n  name: " + name + "\n"
	if namespace != "" && w.chance(90) {
		text += "  namespace: " + namespace + "\n"
	}
	switch w.IntN(6) {
	case 0:
		text += "  labels: {patched: 'yes'}\n"
	case 1:
		text += "  annotations: {note: null, patched: 'yes'}\n"
	case 2:
		text += "spec: {template: {spec: {containers: [{name: main, envFrom: [{configMapRef: {name: generated}}]}]}}}\n"
	case 3:
		text = "$patch: delete\n" + text
	default:
		text += "data: {added: '1'}\n"
	}
	return text
}

func (w *world) jsonPatch() string {
	return pick(w,
		"- {op: add, path: /metadata/labels, value: {set: by-patch}}\n",
		"- {op: add, path: /metadata/annotations/extra, value: 'yes'}\n",
		"- {op: replace, path: /spec/replicas, value: 7}\n",
		"- {op: add, path: /data/more, value: x}\n",
		"- {op: replace, path: /metadata/name, value: renamed}\n",
		"- {op: add, path: /metadata/annotations, value: {only: this}}\n",
		"- {op: test, path: /kind, value: Deployment}\n- {op: add, path: /spec/paused, value: true}\n",
	)
}

func (w *world) selector() string {
	return pick(w, "{kind: Deployment}", "{kind: ConfigMap, name: web.*}", "{labelSelector: tier=front}",
		"{kind: ServiceAccount}", "{namespace: one}", "{version: v1, kind: Secret}", "{annotationSelector: note=x}", "{kind: StatefulSet, name: db-.*}", "{name: '['}")
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}

func (w *world) patch(dir string) string {
	w.next++
	file := fmt.Sprintf("patch-%d.yaml", w.next)
	switch w.IntN(5) {
	case 0:
		w.files[dir+"/"+file] = w.strategic()
		return "- path: " + file + "\n"
	case 1:
		return "- patch: |\n" + indent(w.strategic())
	case 2:
		return "- patch: |\n" + indent(w.strategic()) + "  target: " + w.selector() + "\n"
	case 3:
		w.files[dir+"/"+file] = w.jsonPatch()
		return "- path: " + file + "\n  target: " + w.selector() + "\n"
	default:
		return "- patch: |\n" + indent(w.jsonPatch()) + "  target: " + w.selector() + "\n"
	}
}

func (w *world) transformations(dir string) string {
	var text string
	add := func(percent int, line string) {
		if w.chance(percent) {
			text += line
		}
	}
	often, seldom := 12, 6
	if w.dense {
		often, seldom = 40, 30
	}
	add(40, "namespace: "+pick(w, "one", "two", "three")+"\n")
	add(20, "labels: [{pairs: {team: "+pick(w, "a", "b")+"}, includeSelectors: "+pick(w, "true", "false")+", includeTemplates: "+pick(w, "true", "false")+"}]\n")
	add(15, "commonLabels: {common: 'yes'}\n")
	add(15, "commonAnnotations: {by: "+pick(w, "me", "you")+"}\n")
	add(20, "images: [{name: "+pick(w, "nginx", "busybox", "ghcr.io/org/app")+", newTag: '"+fmt.Sprint(w.IntN(9))+"'}]\n")
	add(2, "namePrefix: pre-\n")
	add(2, "sortOptions: {order: fifo}\n")
	if w.chance(25) {
		text += "patches:\n"
		for range 1 + w.IntN(2) {
			text += w.patch(dir)
		}
	}
	if w.chance(5) {
		text += "patchesStrategicMerge:\n- |\n" + indent(w.strategic())
	}
	if w.chance(8) {
		_, _, name, _ := w.target()
		text += "replicas: [{name: " + name + ", count: 3}]\n"
	}
	if w.chance(often) {
		text += "configMapGenerator:\n- name: " + pick(w, "generated", "settings") + "\n  literals: [a=" + fmt.Sprint(w.IntN(20)) + "]\n"
	}
	if w.chance(seldom) {
		w.files[dir+"/keys.env"] = "k=" + fmt.Sprint(w.IntN(20)) + "\n"
		text += "secretGenerator:\n- name: keys\n  envs: [keys.env]\n" + pick(w, "", "  options: {disableNameSuffixHash: true}\n", "  namespace: one\n")
	}
	return text
}

// directory makes a kustomization that may include some of those made before.
func (w *world) directory(dir string) {
	var resources []string
	for i := range 1 + w.IntN(4) {
		name := fmt.Sprintf("f%d.yaml", i)
		w.files[dir+"/"+name] = w.manifest()
		resources = append(resources, name)
	}
	for _, other := range w.dirs {
		if w.chance(30) {
			resources = append(resources, "../"+other)
		}
	}
	if w.chance(2) && len(resources) > 0 {
		resources = append(resources, resources[0])
	}
	text := "resources:\n- " + strings.Join(resources, "\n- ") + "\n"
	if w.chance(10) {
		text = strings.Replace(text, "resources:", "bases:", 1)
	}
	text += w.transformations(dir)
	if w.chance(15) {
		component := dir + "-part"
		parts := ""
		if w.chance(50) {
			w.files[component+"/c.yaml"] = w.manifest()
			parts = "resources: [c.yaml]\n"
		}
		w.files[component+"/kustomization.yaml"] = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n" + parts + w.transformations(component)
		text += "components: [../" + component + "]\n"
	}
	w.files[dir+"/kustomization.yaml"] = text
	w.dirs = append(w.dirs, dir)
}

func newWorld(seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), files: map[string]string{}, dense: seed%3 == 0, alone: seed%2 == 0}
	for i := range 1 + w.IntN(4) {
		w.directory(fmt.Sprintf("d%d", i))
	}
	if w.chance(20) { // a generated kustomization at the top
		for i := range 1 + w.IntN(4) {
			w.files[fmt.Sprintf("top/f%d.yaml", i)] = w.manifest()
		}
		return w
	}
	w.directory("top")
	return w
}

func (w *world) spec() Spec {
	spec := Spec{Path: "top"}
	if w.chance(20) {
		spec.Namespace = pick(w, "one", "target")
	}
	if w.chance(15) {
		spec.Patches = []types.Patch{{Patch: w.strategic(), Target: &types.Selector{ResId: resid.ResId{Gvk: resid.Gvk{Kind: pick(w, "Deployment", "Secret", "Thing")}}}}}
	}
	if w.chance(10) {
		spec.Images = []types.Image{{Name: "nginx", NewTag: "99"}}
	}
	if w.chance(5) {
		spec.BuildMetadata = []string{types.OriginAnnotations}
	}
	return spec
}

// change makes a small commit.
func (w *world) change() {
	w.files = maps.Clone(w.files)
	names := slices.Sorted(maps.Keys(w.files))
	name := pick(w, names...)
	switch w.IntN(8) {
	case 0:
		if !confine.IsKustomization(name) && w.chance(30) {
			delete(w.files, name)
		}
	case 1:
		dir := pick(w, w.dirs...)
		w.files[dir+"/kustomization.yaml"] += w.transformations(dir)
	case 2:
		w.files[name] = strings.ReplaceAll(w.files[name], "one", "two")
	case 3:
		w.files[name] = strings.ReplaceAll(w.files[name], "v1", "v1 ")
	default:
		if !confine.IsKustomization(name) && !strings.Contains(name, "patch") && !strings.HasSuffix(name, ".env") {
			w.files[name] = w.manifest()
		}
	}
}

func texts(objects []*Built) []string {
	var all []string
	for _, built := range objects {
		all = append(all, string(built.YAML))
	}
	slices.Sort(all)
	return all
}

// compare builds a tree in both ways and demands the same result, or an error of both.
func compare(t *testing.T, w *world, spec Spec, known *Progress) (*Progress, bool) {
	t.Helper()
	builder := NewBuilder(manifest.Limits{}, 1<<20)
	if w.alone {
		builder.batch = 1
	}
	at := treeOf(w.files)
	want, wantErr := builder.Full(context.Background(), at, spec)
	got, err := builder.Build(context.Background(), at, spec, known)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("apart: error %v\nwhole: error %v\n%s", err, wantErr, dump(w.files))
	}
	if diff := cmp.Diff(texts(want.Objects), texts(got.Objects)); diff != "" {
		t.Fatalf("the build that was taken apart differs (-whole +apart):\n%s\n%s", diff, dump(w.files))
	}
	if missing := got.Trace.Lacks(want.Trace); err == nil && len(missing) > 0 {
		t.Fatalf("questions %v were not asked\n%s", missing, dump(w.files))
	}
	return got.Progress, err == nil
}

func dump(files map[string]string) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&text, "-- %s --\n%s", name, files[name])
	}
	return text.String()
}

func check(t *testing.T, seed uint64) (built, apart int) {
	t.Helper()
	w := newWorld(seed)
	spec := w.spec()
	var known *Progress
	for range 5 {
		next, ok := compare(t, w, spec, known)
		if ok {
			built++
			if len(next.sources) > 0 {
				apart++
			}
			known = next
		}
		w.change()
	}
	return built, apart
}

var (
	seeds = flag.Uint64("seeds", 100, "number of random platforms to build in both ways")
	from  = flag.Uint64("from", 0, "number of the first of them")
)

func TestBuildIsTheSameApartAndWhole(t *testing.T) {
	built, apart := 0, 0
	number := *seeds
	if testing.Short() {
		number = 10
	}
	for seed := range number {
		b, a := check(t, *from+seed)
		built, apart = built+b, apart+a
	}
	t.Logf("%d builds, %d of them apart", built, apart)
	if apart < built/4 || built == 0 {
		t.Errorf("of %d builds only %d were taken apart: the test does not reach what it is for", built, apart)
	}
}

func FuzzBuildIsTheSameApartAndWhole(f *testing.F) {
	f.Add(uint64(1_000_000))
	f.Fuzz(func(t *testing.T, seed uint64) { check(t, seed) })
}
