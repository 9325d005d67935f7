package kustomize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/stage/render/confine"
	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// batchObjects is how many objects are built by one run of kustomize, whose cost grows with the
// square of it.
const batchObjects = 48

// build builds sources, each exactly as it would be in the whole, and returns what became of each.
func (b *Builder) buildSources(f *confine.Files, p *plan, sources []*source) (map[*source][]*Built, error) {
	batches := batchesOf(sources, b.batch)
	results := make([]map[*source][]*Built, len(batches))
	group, ctx := errgroup.WithContext(f.Ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, batch := range batches {
		group.Go(func() (err error) {
			results[i], err = b.buildBatch(ctx, f, p, batch)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	built := make(map[*source][]*Built, len(sources))
	for _, result := range results {
		for s, objects := range result {
			built[s] = objects
		}
	}
	return built, nil
}

func batchesOf(sources []*source, limit int) [][]*source {
	var batches [][]*source
	size := limit
	for _, s := range sources {
		if size+len(s.objects) > limit {
			batches, size = append(batches, nil), 0
		}
		last := len(batches) - 1
		batches[last] = append(batches[last], s)
		size += len(s.objects)
	}
	return batches
}

func (b *Builder) buildBatch(ctx context.Context, f *confine.Files, p *plan, batch []*source) (map[*source][]*Built, error) {
	reduced := f.Part(ctx)
	s := newSelection(p, batch)
	if err := s.overlay(f, reduced.Overlay); err != nil {
		return nil, err
	}
	resources, err := runShared(reduced, target{dir: p.top.dir, sorts: p.top.kust.SortOptions != nil})
	if err != nil {
		return nil, err
	}
	return s.assign(resources, batch)
}

// selection is the part of a plan that is built in one run.
type selection struct {
	plan  *plan
	kept  map[*source]bool
	nodes map[*node]bool
	// entries are those that are kept, by the file that they stand in: a directory that is visited
	// twice has one file.
	entries map[entryKey]bool
}

type entryKey struct {
	file, field string
	index       int
}

func newSelection(p *plan, batch []*source) *selection {
	s := &selection{plan: p, kept: map[*source]bool{}, nodes: map[*node]bool{}, entries: map[entryKey]bool{}}
	for _, one := range batch {
		s.keep(one)
		for _, other := range one.support {
			s.keep(other)
		}
	}
	for s.grow() { // until nothing is missing
	}
	return s
}

// keep keeps a source, and the kustomizations on its way up with their components.
func (s *selection) keep(one *source) {
	s.kept[one] = true
	for up := one.node; up != nil && !s.nodes[up]; up = up.parent {
		s.visit(up)
	}
}

func (s *selection) visit(n *node) {
	if s.nodes[n] {
		return
	}
	s.nodes[n] = true
	for _, component := range n.components {
		s.visit(component)
	}
}

// grow adds what the selection lacks to be built as it is in the whole, and tells whether there was
// anything. An entry is kept with all its targets, or not at all.
func (s *selection) grow() bool {
	before := len(s.kept) + len(s.entries)
	for n := range s.nodes {
		for _, entry := range n.entries {
			key := entryKey{n.file, entry.field, entry.index}
			if !s.entries[key] && !slices.ContainsFunc(entry.targets, func(target *source) bool { return s.kept[target] }) {
				continue
			}
			s.entries[key] = true
			for _, target := range entry.targets {
				s.keep(target)
			}
		}
	}
	s.keepTwins()
	return len(s.kept)+len(s.entries) > before
}

// keepTwins keeps the other places in which a kept document stands, because a file has one content.
func (s *selection) keepTwins() {
	type doc struct {
		file   string
		number int
	}
	docs := map[doc]bool{}
	for one := range s.kept {
		docs[doc{cmp.Or(one.file, one.node.file), one.number}] = true
	}
	for n := range s.nodes {
		for _, one := range n.own {
			if !s.kept[one] && docs[doc{one.file, one.number}] {
				s.keep(one)
			}
		}
		if n.generator != nil && !s.kept[n.generator] && docs[doc{n.file, 0}] {
			s.keep(n.generator)
		}
	}
}

// overlay writes the kustomization files of the selection, and those files of which it has only
// some documents.
func (s *selection) overlay(f *confine.Files, into map[string][]byte) error {
	kusts := map[string]*reducedFile{}
	for n := range s.nodes {
		one := kusts[n.file]
		if one == nil {
			one = &reducedFile{node: n, resources: map[string]bool{}}
			kusts[n.file] = one
		}
		s.addTo(one, n)
	}
	for file, one := range kusts {
		kust := one.kustomization(s)
		if file != s.plan.top.file {
			// It only keeps kustomize from calling the file empty: the top's decides.
			kust.BuildMetadata = []string{types.OriginAnnotations}
		}
		data, err := yaml.Marshal(kust)
		if err != nil {
			return fmt.Errorf("writing %s: %w", file, err)
		}
		into[file] = data
	}
	return s.overlayDocuments(f, into)
}

// reducedFile collects what is kept of a kustomization file by all visits to it.
type reducedFile struct {
	node       *node
	resources  map[string]bool // paths in the tree
	generators bool
}

func (s *selection) addTo(file *reducedFile, n *node) {
	for _, one := range n.own {
		if s.kept[one] {
			file.resources[one.file] = true
		}
	}
	for _, child := range n.children {
		if s.nodes[child] {
			file.resources[child.dir] = true
		}
	}
	file.generators = file.generators || n.generator != nil && s.kept[n.generator]
}

func (r *reducedFile) kustomization(s *selection) types.Kustomization {
	k := r.node.kust
	k.Resources = nil
	for _, name := range r.node.kust.Resources {
		if r.resources[path.Join(r.node.dir, name)] {
			k.Resources = append(k.Resources, name)
		}
	}
	if !r.generators {
		k.ConfigMapGenerator, k.SecretGenerator, k.GeneratorOptions = nil, nil, nil
	}
	k.Patches = keepEntries(s, r.node.file, fieldPatches, k.Patches, func(patch types.Patch) bool { return patch.Target != nil })
	k.PatchesStrategicMerge = keepEntries(s, r.node.file, fieldLegacy, k.PatchesStrategicMerge, never)
	k.Replicas = keepEntries(s, r.node.file, fieldReplicas, k.Replicas, never)
	modernLabels(&k)
	return k
}

func never[T any](T) bool { return false }

func keepEntries[T any](s *selection, file, field string, list []T, always func(T) bool) []T {
	var kept []T
	for i, one := range list {
		if always(one) || s.entries[entryKey{file, field, i}] {
			kept = append(kept, one)
		}
	}
	return kept
}

func (s *selection) overlayDocuments(f *confine.Files, into map[string][]byte) error {
	numbers := map[string][]int{}
	for one := range s.kept {
		if one.of > 1 && !slices.Contains(numbers[one.file], one.number) {
			numbers[one.file] = append(numbers[one.file], one.number)
		}
	}
	for file, kept := range numbers {
		data, err := f.Content(file)
		if err != nil {
			return err
		}
		texts, err := manifest.Split(data)
		if err != nil {
			return err
		}
		into[file] = manifest.Join(texts, kept)
	}
	return nil
}

// errStray says that kustomize did something to an object that the plan did not foresee.
var errStray = errors.New("build gave an object that the plan does not know")

// assign finds the source of each resource and returns the resources of those that were asked for.
func (s *selection) assign(resources []*resource.Resource, batch []*source) (map[*source][]*Built, error) {
	expected, hashed := s.expected()
	built := make(map[*source][]*Built, len(batch))
	for _, one := range batch {
		built[one] = nil
	}
	for _, res := range resources {
		fact := (&placed{objectFact: identify(manifest.ObjectOf(res))}).full()
		from, found := expected[fact]
		if !found {
			from, found = unhashed(hashed, fact)
		}
		if !found {
			return nil, fmt.Errorf("%w: %s", errStray, res.CurId())
		}
		if _, asked := built[from]; !asked {
			continue
		}
		one, err := export(res)
		if err != nil {
			return nil, err
		}
		one.Source, one.Sure = cmp.Or(from.file, from.node.file), true
		built[from] = append(built[from], one)
	}
	return built, nil
}

func (s *selection) expected() (plain map[objectFact]*source, hashed map[objectFact]*source) {
	plain, hashed = map[objectFact]*source{}, map[objectFact]*source{}
	for one := range s.kept {
		for _, object := range one.objects {
			if object.hashed {
				hashed[object.full()] = one
				continue
			}
			plain[object.full()] = one
		}
	}
	return plain, hashed
}

// unhashed finds a generated object by its name without the hash.
func unhashed(hashed map[objectFact]*source, fact objectFact) (*source, bool) {
	end := strings.LastIndexByte(fact.name, '-')
	if end < 0 {
		return nil, false
	}
	fact.name = fact.name[:end]
	from, found := hashed[fact]
	return from, found
}
