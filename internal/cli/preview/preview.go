package preview

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/ssa/normalize"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render"
	"holdfast.dev/holdfast/internal/stage/render/chart"
)

// Renderer builds one unit; stage/render does.
type Renderer interface {
	Render(ctx context.Context, input render.Input) (render.Output, error)
}

// Options say what to build.
type Options struct {
	// Tree holds the repository.
	Tree tree.Tree
	// Path is the directory that a cluster's root unit delivers. It is not used with Manifests.
	Path string
	// Manifests, where there are any, are where to start instead: Kustomizations from outside of the
	// tree, and the ConfigMaps and Secrets that they read.
	Manifests []*unstructured.Unstructured
	// Sources are the trees of other sources than the repository's own.
	Sources map[Source]tree.Tree
	// AllowMissing puts placeholders where variables have no value, instead of finding fault.
	AllowMissing bool
	Renderer     Renderer
	// Charts renders the Helm releases whose charts are in the trees at hand; nil leaves releases as objects.
	Charts *chart.Renderer
	// Opener decrypts for the units that ask for it; what it has no key for stays as it is. Nil decrypts
	// nothing.
	Opener render.Opener
	// ShowSecrets leaves decrypted values in the objects of the result, instead of placeholders.
	ShowSecrets bool
}

// Unit is a unit and what it delivers.
type Unit struct {
	Owner object.Owner
	// Kind is ReleaseKind for a Helm release, and empty for a Kustomization.
	Kind    string
	Path    string
	Source  Source
	Objects []object.Object
	// Placeholders are the variables that had no value and were filled in.
	Placeholders []string

	revealed []redact.Text // what was decrypted for the objects
}

// Class says what a finding means for a verdict on the tree.
type Class int

// The classes.
const (
	// Broken units cannot be delivered as they are.
	Broken Class = iota
	// Unknown units may be right or wrong: what they need is not in the tree.
	Unknown
	// Left releases are delivered, but what they deliver is not shown: their charts are kept elsewhere. The
	// tree is not to blame for it.
	Left
)

// Finding is something that keeps a unit from being delivered or from being judged.
type Finding struct {
	Unit  object.Owner
	Class Class
	Text  string
	// Hint says what the person can do about it; it may be empty.
	Hint string
}

// Result is what was built, also when something was found.
type Result struct {
	Units    []Unit // in the order of delivery
	Findings []Finding
}

// RootName is the name and the namespace that the root unit gets where the tree does not name it;
// they are those that Flux's bootstrap gives.
const RootName = "flux-system"

// Build builds the whole tree. An error means that nothing could be tried; what is wrong with single
// units is in the findings.
func Build(ctx context.Context, options Options) (Result, error) {
	walk := &walk{
		Options: options,
		known:   map[object.Owner]*pending{},
		configs: map[object.Ref]*unstructured.Unstructured{},
		charts:  map[Source]*sourcev1.HelmChart{},
	}
	start := walk.startAtPath
	if len(options.Manifests) > 0 {
		start = walk.startAtManifests
	}
	if err := start(ctx); err != nil {
		return Result{}, err
	}
	for next := walk.next(); next != nil; next = walk.next() {
		if err := walk.build(ctx, next); err != nil {
			return Result{}, err
		}
	}
	if err := walk.buildReleases(ctx); err != nil {
		return Result{}, err
	}
	if len(options.Manifests) == 0 {
		walk.checkDependencies()
	}
	if !options.ShowSecrets {
		if err := hide(walk.result.Units); err != nil {
			return Result{}, err
		}
	}
	slices.SortStableFunc(walk.result.Findings, func(a, b Finding) int {
		return cmp.Compare(a.Unit.String(), b.Unit.String())
	})
	return walk.result, nil
}

// walk is one run of Build.
type walk struct {
	Options

	home    Source
	known   map[object.Owner]*pending
	order   []*pending // as they were found
	configs map[object.Ref]*unstructured.Unstructured
	result  Result

	releases []*helmv2.HelmRelease
	charts   map[Source]*sourcev1.HelmChart
}

// pending is a unit that was found.
type pending struct {
	owner object.Owner
	spec  *kustomizev1.Kustomization
	done  bool // built, or found not to build
}

// startAtPath builds the root. Its own Kustomization may be among what it delivers, as Flux's
// bootstrap arranges it; then that one's settings count for the root, too.
func (w *walk) startAtPath(ctx context.Context) error {
	root := &kustomizev1.Kustomization{}
	root.Name, root.Namespace = RootName, RootName
	root.Spec.Path = w.Path
	root.Spec.Decryption = &kustomizev1.Decryption{} // nobody says that there is none
	output, err := w.Renderer.Render(ctx, w.inputOf(root, w.Tree))
	if err != nil {
		return err
	}
	found := kustomizationsIn(output.Objects)
	w.home = homeOf(found, w.Path)
	for _, one := range found {
		if sourceOf(one) == w.home && tree.Clean(one.Spec.Path) == tree.Clean(w.Path) && one.Spec.KubeConfig == nil {
			w.learn(output.Objects) // its variables may come from what it delivers itself
			w.add(one)
			return nil
		}
	}
	w.finish(Unit{Owner: object.Owner{Namespace: RootName, Name: RootName}, Path: w.Path, Source: w.home, Objects: output.Objects, revealed: output.Revealed}, true)
	return nil
}

func (w *walk) startAtManifests(context.Context) error {
	var found []*kustomizev1.Kustomization
	for _, u := range w.Manifests {
		if isKustomization(u.GroupVersionKind().GroupKind()) {
			one, err := decode(u)
			if err != nil {
				return err
			}
			one.Namespace = cmp.Or(one.Namespace, RootName)
			found = append(found, one)
			continue
		}
		if err := normalize.UnstructuredList([]*unstructured.Unstructured{u}); err != nil { // for stringData
			return fmt.Errorf("reading %s: %w", object.RefOf(u), err)
		}
		ref := object.RefOf(u)
		ref.Namespace = cmp.Or(ref.Namespace, RootName)
		w.configs[ref.Key()] = u
	}
	if len(found) == 0 {
		return fmt.Errorf("none of the %d objects to start from is a Kustomization of Flux", len(w.Manifests))
	}
	w.home = homeOf(found, w.Path)
	for _, one := range found {
		w.add(one)
	}
	return nil
}

// add takes note of a unit, once.
func (w *walk) add(spec *kustomizev1.Kustomization) {
	owner := object.Owner{Namespace: spec.Namespace, Name: spec.Name}
	if w.known[owner] != nil {
		return
	}
	one := &pending{owner: owner, spec: spec}
	w.known[owner] = one
	w.order = append(w.order, one)
}

// next chooses the unit to build next: the first whose dependencies are done and whose variables are
// at hand; where there is none, one that misses something, so that it is said what.
func (w *walk) next() *pending {
	var best *pending
	rank := -1
	for _, one := range w.order {
		if one.done {
			continue
		}
		value := 0
		if w.dependenciesDone(one) {
			value = 1
			if len(w.missing(one.spec)) == 0 {
				return one
			}
		}
		if value > rank {
			best, rank = one, value
		}
	}
	return best
}

func (w *walk) dependenciesDone(one *pending) bool {
	for _, owner := range dependenciesOf(one.spec) {
		if other := w.known[owner]; other != nil && !other.done && other != one {
			return false
		}
	}
	return true
}

// build builds a unit and takes note of what it delivers.
func (w *walk) build(ctx context.Context, one *pending) error {
	one.done = true
	unit := Unit{Owner: one.owner, Path: one.spec.Spec.Path, Source: sourceOf(one.spec)}
	files, found := w.treeOf(unit.Source)
	if !found {
		w.find(Finding{
			Unit: one.owner, Class: Unknown,
			Text: fmt.Sprintf("its files are in %s, which is not this tree", unit.Source),
			Hint: fmt.Sprintf("name a folder that holds them with --source %s=DIR", unit.Source.Name),
		})
		return nil
	}
	output, placeholders, finding := w.render(ctx, one.spec, files)
	if err := ctx.Err(); err != nil {
		return err
	}
	if finding != nil {
		finding.Unit = one.owner
		w.find(*finding)
		return nil
	}
	unit.Objects, unit.Placeholders, unit.revealed = output.Objects, placeholders, output.Revealed
	w.finish(unit, one.spec.Spec.KubeConfig == nil)
	return nil
}

// finish records a built unit. Units that it delivers to this cluster are built in turn; those that
// go to another cluster are another controller's.
func (w *walk) finish(unit Unit, here bool) {
	w.result.Units = append(w.result.Units, unit)
	if !here {
		return
	}
	w.learn(unit.Objects)
	if w.Charts != nil {
		w.noteCharts(unit.Objects)
	}
	for _, one := range unit.Objects {
		if !isKustomization(one.GVK().GroupKind()) {
			continue
		}
		spec, err := decodeObject(one)
		if err != nil {
			w.find(Finding{Unit: object.Owner{Namespace: one.Namespace, Name: one.Name}, Class: Broken, Text: err.Error()})
			continue
		}
		w.add(spec)
	}
}

func (w *walk) find(finding Finding) { w.result.Findings = append(w.result.Findings, finding) }

// checkDependencies finds dependencies that keep a unit waiting for ever.
func (w *walk) checkDependencies() {
	for _, one := range w.order {
		for _, owner := range dependenciesOf(one.spec) {
			if w.known[owner] == nil {
				w.find(Finding{
					Unit: one.owner, Class: Broken,
					Text: fmt.Sprintf("it depends on %s, which the tree does not deliver", owner),
				})
			}
		}
		if w.waitsForItself(one) {
			w.find(Finding{Unit: one.owner, Class: Broken, Text: "it depends on itself by way of others, so none of them is ever delivered"})
		}
	}
}

func (w *walk) waitsForItself(start *pending) bool {
	seen := map[object.Owner]bool{}
	queue := dependenciesOf(start.spec)
	for len(queue) > 0 {
		owner := queue[0]
		queue = queue[1:]
		if owner == start.owner {
			return true
		}
		if other := w.known[owner]; other != nil && !seen[owner] {
			seen[owner] = true
			queue = append(queue, dependenciesOf(other.spec)...)
		}
	}
	return false
}
