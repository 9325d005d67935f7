package kustomize

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"

	"holdfast.dev/holdfast/internal/stage/render/confine"
	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// A plan is a build taken apart. Most of what kustomize does to an object depends on that object
// alone and on the kustomizations on its way up; then a document needs to be built again only when
// it or those kustomizations change. A plan knows the way of each document, and finds the few places
// where objects do depend on each other:
//
//   - Identities must differ at every step. The plan follows each identity through the namespaces
//     that it is given and compares.
//   - A patch without a target, and a replica count, must find its object. The plan finds it first
//     and keeps the patch and the object together.
//   - Names of generated objects end in a hash of their content, and kustomize writes the new name
//     wherever it finds the old one. A document that mentions a generator's name is built with it.
//   - The subjects of role bindings and the services of webhooks take over the namespace of the
//     account or service that they name. They are built with what they might mean.
//
// Whatever else kustomize can do makes the plan fail, with errWhole, and the build is done whole.
type plan struct {
	top     *node
	origins bool // objects show the path of their file
	sources []*source
	nodes   []*node
}

// node is one visit to a kustomization directory.
type node struct {
	dir, file  string
	kust       types.Kustomization
	parent     *node // nil at the top
	children   []*node
	components []*node
	own        []*source
	generator  *source // nil without generators
	// shared is the digest of what the kustomization does to all objects that pass through it.
	shared digest
	// mentions are the strings that it may put into them.
	mentions []uint64
	entries  []*targeted
}

// targeted is a part of a kustomization that must find its objects.
type targeted struct {
	field   string // where it stands: patches, patchesStrategicMerge, replicas
	index   int
	wants   []objectFact // one for each document of a patch
	digest  digest
	targets []*source
	// mentions are the strings that it may put into its targets.
	mentions []uint64
}

type digest = [sha256.Size]byte

// source is what can be built alone: a document of a file, or the generators of a kustomization.
type source struct {
	node    *node
	file    string // "" for generators
	number  int    // of the document
	of      int    // documents in the file
	hash    string
	objects []*placed
	// mentions are the strings of the document and of all that is put into it.
	mentions [][]uint64
	base     digest // of the document and its way up
	key      digest // of all that its result depends on
	support  []*source
}

// placed is an object on its way up.
type placed struct {
	objectFact
	source *source
	// past are the names and namespaces that the object had on the way, the present ones included.
	past []identity
	// hashed says that the object gets a hash of its content at the end of its name.
	hashed bool
}

type identity struct{ namespace, name string }

// objectFact is the identity of an object.
type objectFact struct {
	group, version, kind string
	namespace, name      string
	clusterScoped        bool
}

func identify(object manifest.Object) objectFact {
	return objectFact{
		group: object.Group, version: object.Version, kind: object.Kind,
		namespace: object.Namespace, name: object.Name, clusterScoped: object.ClusterScoped,
	}
}

// errWhole says that a build cannot be taken apart.
var errWhole = errors.New("build cannot be taken apart")

func whole(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errWhole, fmt.Sprintf(format, args...))
}

// maxNesting bounds how deep kustomizations include each other.
const maxNesting = 50

// maxNodes bounds the visits to kustomizations, which can double with every level.
const maxNodes = 20_000

// planner makes a plan.
type planner struct {
	builder *Builder
	files   *confine.Files
	plan    *plan
}

// plan takes a build apart.
func (b *Builder) plan(f *confine.Files, start entry, dir string) (*plan, error) {
	p := &planner{builder: b, files: f, plan: &plan{}}
	kust := start.kust
	kust.FixKustomization()
	if len(kust.EnforceFields()) > 0 || len(f.KustomizationFiles(dir)) > 1 {
		return nil, whole("%s is invalid", start.file)
	}
	p.plan.origins = len(kust.BuildMetadata) > 0
	top, err := p.visit(dir, start.file, kust, nil)
	if err != nil {
		return nil, err
	}
	p.plan.top = top
	if _, err := p.climb(top, nil); err != nil {
		return nil, err
	}
	p.plan.link()
	return p.plan, nil
}

// visit reads a kustomization and all below it.
func (p *planner) visit(dir, file string, kust types.Kustomization, parent *node) (*node, error) {
	n := &node{dir: dir, file: file, kust: kust, parent: parent}
	p.plan.nodes = append(p.plan.nodes, n)
	if len(p.plan.nodes) > maxNodes || n.depth() > maxNesting {
		return nil, whole("too many kustomizations")
	}
	p.files.Assign(dir, &n.kust)
	if reason := outsideSubset(&n.kust); reason != "" {
		return nil, whole("%s has %s", file, reason)
	}
	for _, name := range n.kust.Resources {
		if err := p.addResource(n, name); err != nil {
			return nil, err
		}
	}
	for _, name := range n.kust.Components {
		component, err := p.descend(n, name)
		if err != nil {
			return nil, err
		}
		if component.kust.Kind != types.ComponentKind {
			return nil, whole("%s is no component", component.file)
		}
		n.components = append(n.components, component)
	}
	if err := p.addGenerators(n); err != nil {
		return nil, err
	}
	if n.barren() {
		return nil, whole("%s has no objects", file) // so nothing would ever try what it says
	}
	return n, p.digestShared(n)
}

// barren tells whether a kustomization, which is no component, has no objects of its own.
func (n *node) barren() bool {
	return n.kust.Kind != types.ComponentKind && len(n.own)+len(n.children) == 0 && n.generator == nil &&
		!slices.ContainsFunc(n.components, (*node).bears)
}

func (n *node) bears() bool {
	return len(n.own)+len(n.children) > 0 || n.generator != nil || slices.ContainsFunc(n.components, (*node).bears)
}

func (n *node) depth() int {
	depth := 0
	for up := n.parent; up != nil; up = up.parent {
		depth++
	}
	return depth
}

// outsideSubset names the first field of a kustomization that a plan does not understand.
func outsideSubset(k *types.Kustomization) string {
	switch {
	case k.NamePrefix != "" || k.NameSuffix != "":
		return "a name prefix or suffix"
	case len(k.Replacements) > 0, len(k.Vars) > 0:
		return "replacements or vars"
	case len(k.Configurations) > 0, len(k.Crds) > 0, len(k.OpenAPI) > 0:
		return "configurations, crds or openapi"
	case len(k.Generators) > 0, len(k.Transformers) > 0, len(k.Validators) > 0:
		return "plugins"
	case len(k.HelmCharts) > 0, k.HelmGlobals != nil, len(k.HelmChartInflationGenerator) > 0:
		return "helmCharts"
	case slices.ContainsFunc(k.BuildMetadata, func(option string) bool { return option == types.ManagedByLabelOption }):
		return "the managedByLabel option"
	}
	return ""
}

// resolve finds a path that a kustomization names.
func (p *planner) resolve(dir, name string) (string, error) {
	if !strings.Contains(name, "..") && !strings.ContainsAny(name, ":?#%") && !path.IsAbs(name) {
		return path.Join(dir, name), nil
	}
	full, err := confine.Inside(path.Join(confine.Outside(dir), name))
	if err != nil || path.IsAbs(name) || confine.FetchesURL(name) {
		return "", whole("%q is not in the tree", confine.Scrub(name))
	}
	return full, nil
}

func (p *planner) addResource(n *node, name string) error {
	full, err := p.resolve(n.dir, name)
	if err != nil {
		return err
	}
	hash := p.files.Hash(full)
	if hash == confine.Absent {
		child, err := p.descend(n, name)
		if err != nil {
			return err
		}
		if child.kust.Kind == types.ComponentKind {
			return whole("%s is a component", child.file)
		}
		n.children = append(n.children, child)
		return nil
	}
	known, err := p.builder.factsOf(p.files, full, hash)
	if err != nil {
		return err
	}
	if known.Err != nil {
		return whole("%s: %v", full, known.Err)
	}
	for number, doc := range known.Docs {
		if len(doc.Objects) == 0 {
			continue
		}
		s := &source{node: n, file: full, number: number, of: len(known.Docs), hash: doc.Hash, mentions: [][]uint64{doc.Mentions}}
		for _, fact := range doc.Objects {
			s.objects = append(s.objects, place(identify(fact), s))
		}
		n.own = append(n.own, s)
		p.plan.sources = append(p.plan.sources, s)
	}
	return nil
}

func place(fact objectFact, s *source) *placed {
	return &placed{objectFact: fact, source: s, past: []identity{{fact.namespace, fact.name}}}
}

// descend visits a directory that n names.
func (p *planner) descend(n *node, name string) (*node, error) {
	full, err := p.resolve(n.dir, name)
	if err != nil {
		return nil, err
	}
	if confine.ClonesRepository(name) || p.files.Kind(full) != confine.KindDir {
		return nil, whole("%q is no directory", confine.Scrub(name))
	}
	for up := n; up != nil; up = up.parent {
		if full == "." || up.dir == full || len(up.dir) > len(full) && up.dir[:len(full)+1] == full+"/" {
			return nil, whole("%s is above %s", full, n.dir)
		}
	}
	file, kust, err := p.kustomization(full)
	if err != nil {
		return nil, err
	}
	kust.BuildMetadata = nil // kustomize takes that of the parent
	return p.visit(full, file, kust, n)
}

// kustomization reads a kustomization as kustomize does.
func (p *planner) kustomization(dir string) (string, types.Kustomization, error) {
	var kust types.Kustomization
	found := p.files.KustomizationFiles(dir)
	if len(found) != 1 {
		return "", kust, whole("%s has no kustomization, or several", dir)
	}
	file := found[0]
	known, err := p.kustomizationFacts(file)
	if err != nil {
		return "", kust, err
	}
	if known.Err != nil {
		return "", kust, whole("%s: %v", file, known.Err)
	}
	return file, *known.Kustomization, nil
}

// kustomizationFacts returns a kustomization as kustomize reads it.
func (p *planner) kustomizationFacts(file string) (*manifest.Facts, error) {
	hash := "kustomization:" + p.files.Hash(file)
	if known, found := p.builder.library.Get(hash); found {
		return known, nil
	}
	data, err := p.files.Content(file)
	if err != nil {
		return nil, err
	}
	known := manifest.ReadKustomization(data)
	p.builder.library.Put(hash, known)
	return known, nil
}

// write adds parts to a digest, so that no two lists of parts give the same.
func write(sum io.Writer, parts ...string) {
	for _, part := range parts {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
}
