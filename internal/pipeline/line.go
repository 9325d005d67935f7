package pipeline

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/pipeline/settle"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
)

// Options are the parts of a line beside its stages. The zero value works, and forgets everything
// when the program ends.
type Options struct {
	// Shelf keeps releases; nil is one in memory.
	Shelf Shelf
	// Recorder takes what happens; nil takes nothing.
	Recorder record.Recorder
	// Judges look at what a unit wants before anything of it is written.
	Judges []check.Judge
	// Tracer makes a span of each delivery and stage; nil makes none.
	Tracer trace.Tracer
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Kind is the kind of the units' own resources, for the record.
	Kind string
	// Family is that of the units. Hooks are known as such among the objects of HelmReleases only.
	Family object.Family
}

// Line is the order of the stages. It is safe for concurrent use by different units.
type Line struct {
	Options
	apply   *apply.Applier
	units   units
	outages outages
}

// New makes a line that ends in a cluster by way of applier.
func New(applier *apply.Applier, options Options) *Line {
	if options.Shelf == nil {
		options.Shelf = newForgetful()
	}
	if options.Recorder == nil {
		options.Recorder = record.Nowhere()
	}
	if options.Tracer == nil {
		options.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Line{Options: options, apply: applier}
}

// Advance brings a unit as far as it will go at this moment. At most one call for the same unit may
// be under way.
func (l *Line) Advance(ctx context.Context, job Job) Outcome {
	pass, err := l.begin(ctx, job)
	if err != nil {
		return Outcome{Inventory: job.Inventory}.fail(err)
	}
	pass.unit.secrets.vary(job.Render.Secrets())
	out := pass.advance(ctx)
	return pass.unit.mask(pass.tell(out))
}

// pass is one look at one unit.
type pass struct {
	*Line
	job  Job
	unit *unit
	live liveView
	run  run
}

// begin starts a pass.
func (l *Line) begin(ctx context.Context, job Job) (*pass, error) {
	unit := l.units.of(job.Unit)
	unit.begin(job.Site, l.Now())
	book, err := l.Shelf.Book(ctx, job.Unit)
	if err != nil {
		return nil, fault.Because("ReconciliationFailed", fmt.Errorf("reading releases: %w", err))
	}
	unit.book = book
	return &pass{Line: l, job: job, unit: unit, live: liveView{job.Site.Observer, l.apply.Manager()}}, nil
}

// tell adds to an outcome where the unit stands.
func (p *pass) tell(out Outcome) Outcome {
	out.Latest, _ = p.unit.book.Latest()
	out.Standing, _ = p.unit.book.Standing()
	return out
}

// advance finds out what Git wants, and goes the way that follows from it.
func (p *pass) advance(ctx context.Context) Outcome {
	out := Outcome{Inventory: p.job.Inventory}
	wanted, err := p.wish(ctx)
	out.Fingerprint, out.Told = wanted.digest, wanted.set.Told()
	if ctx.Err() != nil {
		return out.fail(err)
	}
	asked := settle.Wish{
		Known: err == nil, Fingerprint: wanted.fingerprint, Retry: p.job.Retry, Back: p.job.Back, To: p.job.To,
	}
	switch course := settle.Plan(p.unit.book, asked); course {
	case settle.Keep:
		return p.refuse(ctx, wanted, out, err)
	case settle.GoBack:
		return p.goBack(ctx, asked, out)
	case settle.Hold, settle.Freeze:
		return p.hold(ctx, out)
	default:
		return p.deliver(ctx, wanted, out, course == settle.Begin)
	}
}

// Forget drops what is remembered of a unit, and its claims in a cluster. Its releases stay.
func (l *Line) Forget(unit object.Owner, site Site) {
	l.units.forget(unit)
	l.outages.forget(unit)
	if site.Observer != nil {
		site.Observer.Release(unit)
	}
}

// Bury forgets the releases of a unit that is gone for good.
func (l *Line) Bury(ctx context.Context, unit object.Owner) error {
	if err := l.Shelf.Drop(ctx, unit); err != nil {
		return fmt.Errorf("dropping the releases of %s: %w", unit, err)
	}
	return nil
}
