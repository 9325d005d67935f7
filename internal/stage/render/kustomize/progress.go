package kustomize

import (
	"context"
	"crypto/sha256"
	"errors"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render/confine"
)

// Progress is what a build made, for the next build of the same unit to go on from. It is immutable.
type Progress struct {
	sources map[digest][]*Built
	// wholes are the resources of a build that was done whole, by their text and source.
	wholes map[digest]*Built
	// stubborn is the shape of a plan that turned out not to work.
	stubborn digest
}

const perBuilt = 512

// Bytes is about how much memory the progress takes.
func (p *Progress) Bytes() int64 {
	if p == nil {
		return 0
	}
	var total int64
	for _, objects := range p.sources {
		for _, built := range objects {
			total += perBuilt + int64(len(built.YAML))
		}
	}
	for _, built := range p.wholes {
		total += perBuilt + int64(len(built.YAML))
	}
	return total
}

// Build builds a directory. It builds only what is new against known, which may be nil. The trace is
// returned with an error, too; it is nil where the tree could not be read, so that the error says
// nothing of the next attempt.
func (b *Builder) Build(ctx context.Context, t tree.Tree, spec Spec, known *Progress) (Result, error) {
	f := confine.Open(ctx, t, b.limits)
	f.Unseal(spec.Opener)
	if known == nil {
		known = &Progress{}
	}
	result, err := b.build(f, spec, known) //nolint:contextcheck // f has it
	result.Revealed = f.Revealed()
	if !f.Broken() {
		result.Trace = f.Trace
	}
	return result, err
}

func (b *Builder) build(f *confine.Files, spec Spec, known *Progress) (Result, error) {
	start, err := b.enter(f, spec)
	if err != nil {
		return Result{}, err
	}
	planned, err := b.plan(f, start, tree.Clean(spec.Path))
	if err != nil && !errors.Is(err, errWhole) {
		return Result{}, err
	}
	if err != nil || known.stubborn == planned.shape() {
		return b.buildWhole(f, start, known, digest{})
	}
	result, err := b.buildNew(f, planned, known)
	if err == nil || f.Ctx.Err() != nil {
		return result, err
	}
	// The whole build decides whether there is an error, and says it with kustomize's words.
	return b.buildWhole(f, start, known, planned.shape())
}

func (b *Builder) buildNew(f *confine.Files, p *plan, known *Progress) (Result, error) {
	next := &Progress{sources: make(map[digest][]*Built, len(p.sources)), stubborn: known.stubborn}
	var missing []*source
	for _, s := range p.sources {
		if objects, found := known.sources[s.key]; found {
			next.sources[s.key] = objects
			continue
		}
		missing = append(missing, s)
	}
	built, err := b.buildSources(f, p, missing)
	if err != nil {
		return Result{}, err
	}
	for s, objects := range built {
		next.sources[s.key] = objects
	}
	result := Result{Progress: next}
	for _, s := range p.sources {
		result.Objects = append(result.Objects, next.sources[s.key]...)
	}
	return result, nil
}

func (b *Builder) buildWhole(f *confine.Files, start entry, known *Progress, shape digest) (Result, error) {
	objects, err := b.whole(f, start)
	if err != nil {
		return Result{}, err
	}
	next := &Progress{wholes: make(map[digest]*Built, len(objects)), stubborn: shape}
	for i, built := range objects {
		key := built.digest()
		if before, found := known.wholes[key]; found {
			objects[i] = before
		}
		next.wholes[key] = objects[i]
	}
	return Result{Objects: objects, Progress: next}, nil
}

// digest identifies a resource by all that it says.
func (b *Built) digest() digest {
	sum := sha256.New()
	write(sum, b.Source, string(b.YAML))
	var key digest
	sum.Sum(key[:0])
	return key
}

// shape identifies what the kustomizations of a plan do, without the objects.
func (p *plan) shape() digest {
	sum := sha256.New()
	for _, n := range p.nodes {
		write(sum, n.file)
		_, _ = sum.Write(n.shared[:])
		for _, entry := range n.entries {
			_, _ = sum.Write(entry.digest[:])
		}
	}
	var shape digest
	sum.Sum(shape[:0])
	return shape
}
