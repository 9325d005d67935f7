package render

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/render/confine"
	"holdfast.dev/holdfast/internal/stage/render/kustomize"
	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// Options shape a Renderer. The zero value is the right default.
type Options struct {
	// CacheBytes is about how much memory may hold what was rendered before; 0 means 512 MiB.
	CacheBytes int64
	// Limits bound a single build.
	Limits manifest.Limits
	// Count is told of each render, and whether what is known made a build unnecessary; nil is nobody.
	Count func(known bool)
}

const defaultCacheBytes = 512 << 20

// The reasons that conditions show (flux-contract 2.2).
const (
	reasonNoPath      = "ArtifactFailed"
	reasonBuildFailed = "BuildFailed"
)

// Renderer renders units. It is safe for concurrent use.
type Renderer struct {
	builder *kustomize.Builder
	memory  *memory
	count   func(known bool)
}

// New returns a Renderer with an empty cache.
func New(options Options) *Renderer {
	limit := options.CacheBytes
	if limit <= 0 {
		limit = defaultCacheBytes
	}
	count := options.Count
	if count == nil {
		count = func(bool) {}
	}
	return &Renderer{
		count:   count,
		builder: kustomize.NewBuilder(options.Limits, limit/4),
		memory:  newMemory(limit - limit/4),
	}
}

// Render builds a unit. Errors carry the reason that a condition shows. Equal inputs give equal
// outputs, whatever was rendered before.
func (r *Renderer) Render(ctx context.Context, input Input) (Output, error) {
	known := r.memory.recall(input.Owner)
	wishes := digestOf(input)
	if known != nil && known.wishes == wishes && known.trace.Holds(input.Tree.Index()) {
		r.count(true)
		return known.output, known.err
	}
	r.count(false)
	next := &outcome{wishes: wishes, keys: keysOf(input)}
	finisher, err := newFinisher(input)
	if err == nil {
		err = r.build(ctx, input, known, next, finisher)
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return Output{}, fmt.Errorf("building %s: %w", place(input.Path), ctxErr)
	}
	if err != nil {
		next.err = classify(input, finisher.mask(err, next.revealed))
		next.inherit(known)
	}
	if next.trace != nil && !confine.Passing(err) {
		r.memory.remember(input.Owner, next)
	}
	return next.fresh, next.err
}

// Forget drops what is kept for a unit that is gone.
func (r *Renderer) Forget(owner object.Owner) { r.memory.forget(owner) }

func (r *Renderer) build(ctx context.Context, input Input, known, next *outcome, finish *finisher) error {
	before := known.progress(next.keys)
	result, err := r.builder.Build(ctx, input.Tree, specOf(input), before)
	next.trace, next.built, next.revealed = result.Trace, result.Progress, result.Revealed
	if before != nil {
		next.revealed = distinct(append(result.Revealed, known.revealed...))
	}
	if err != nil {
		return err
	}
	objects, revealed, err := finish.all(ctx, result.Objects, known, next)
	if err != nil {
		return err
	}
	objects = inOrder(objects)
	if err := refuseDuplicates(objects); err != nil {
		return err
	}
	next.fresh = Output{Objects: objects, Fingerprint: fingerprint(objects), Revealed: append(revealed, next.revealed...)}
	next.output = next.fresh
	next.output.Cached = true
	return nil
}

// classify gives an error its subject and its reason.
func classify(input Input, err error) error {
	if errors.Is(err, kustomize.ErrNoPath) {
		return fault.Because(reasonNoPath, fmt.Errorf("kustomization path not found: %s", place(input.Path)))
	}
	return fault.Because(reasonBuildFailed, fmt.Errorf("building %s: %w", place(input.Path), err))
}

func place(path string) string { return cmp.Or(path, ".") }

// inOrder sorts as object.Sort does. It looks up the rank of each object once, not at each of the
// comparisons, and moves the large values only at the end.
func inOrder(objects []object.Object) []object.Object {
	ranks, order := make([]int, len(objects)), make([]int, len(objects))
	for i, one := range objects {
		ranks[i], order[i] = object.Rank(one.Ref), i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(ranks[a], ranks[b]), objects[a].Compare(objects[b].Ref))
	})
	sorted := make([]object.Object, len(objects))
	for i, from := range order {
		sorted[i] = objects[from]
	}
	return sorted
}

// refuseDuplicates demands that sorted objects are all different objects of a cluster.
func refuseDuplicates(objects []object.Object) error {
	for i := 1; i < len(objects); i++ {
		a, b := objects[i-1], objects[i]
		if a.Key() != b.Key() {
			continue
		}
		if a.Source != "" && b.Source != "" && a.Source != b.Source {
			return fmt.Errorf("object %s is there twice: in %s and in %s", a.Ref, a.Source, b.Source)
		}
		return fmt.Errorf("object %s is there twice", a.Ref)
	}
	return nil
}

// fingerprint is a digest over what is wanted: references and digests, in order.
func fingerprint(objects []object.Object) string {
	sum := sha256.New()
	for _, o := range objects {
		for _, part := range []string{o.Group, o.Version, o.Kind, o.Namespace, o.Name} {
			_, _ = io.WriteString(sum, part)
			_, _ = sum.Write([]byte{0})
		}
		_, _ = sum.Write(o.Digest[:])
		for _, path := range o.Dropped { // so that a mistake is a wish of its own, which can be refused
			_, _ = io.WriteString(sum, "\x00"+path)
		}
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// digestOf identifies everything of an input except the tree and the owner.
func digestOf(input Input) string {
	input.Tree, input.Owner = nil, object.Owner{}
	raw, err := json.Marshal(input) // maps are written in the order of their keys
	if err != nil {
		panic(fmt.Sprintf("render: input cannot be encoded: %v", err)) //nolint:forbidigo // it is strings, booleans and maps of them
	}
	sum := sha256.Sum256(append(raw, keysOf(input)...))
	return string(sum[:])
}

// keysOf identifies what an input is decrypted with.
func keysOf(input Input) string {
	if input.Opener == nil {
		return ""
	}
	return input.Opener.Keys()
}

func distinct(values []redact.Text) []redact.Text {
	slices.Sort(values)
	return slices.Compact(values)
}

func specOf(input Input) kustomize.Spec {
	spec := kustomize.Spec{
		Path: input.Path, Namespace: input.TargetNamespace,
		NamePrefix: input.NamePrefix, NameSuffix: input.NameSuffix,
		Components: input.Components, IgnoreMissingComponents: input.IgnoreMissingComponents,
		BuildMetadata: slices.Clone(input.BuildMetadata), Opener: input.Opener,
	}
	for _, patch := range input.Patches {
		spec.Patches = append(spec.Patches, types.Patch{Patch: patch.Patch, Target: selectorOf(patch.Target)})
	}
	for _, image := range input.Images {
		spec.Images = append(spec.Images, types.Image{
			Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest,
		})
	}
	return spec
}

func selectorOf(selector *Selector) *types.Selector {
	if selector == nil {
		return nil
	}
	return &types.Selector{
		ResId: resid.ResId{
			Gvk:  resid.Gvk{Group: selector.Group, Version: selector.Version, Kind: selector.Kind},
			Name: selector.Name, Namespace: selector.Namespace,
		},
		LabelSelector: selector.LabelSelector, AnnotationSelector: selector.AnnotationSelector,
	}
}
