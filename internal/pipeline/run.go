package pipeline

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"holdfast.dev/holdfast/internal/model/release"
)

// run is how long the stages of a pass took.
type run struct {
	stages []release.Stage
}

// step runs one stage: what all of them need (name, time, trace) is written here once.
func step[T any](ctx context.Context, p *pass, name string, work func(context.Context) (T, error)) (T, error) {
	ctx, span := p.Tracer.Start(ctx, name, trace.WithAttributes(
		attribute.String("holdfast.unit", p.job.Unit.String()),
		attribute.String("holdfast.revision", p.job.Label.Revision),
	))
	defer span.End()
	started := time.Now()
	result, err := work(ctx)
	p.run.stages = append(p.run.stages, release.Stage{Name: name, Took: time.Since(started)})
	if err != nil {
		span.SetStatus(codes.Error, "failed") // the error's text may hold what is masked later
	}
	return result, err
}
