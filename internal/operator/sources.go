package operator

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"holdfast.dev/holdfast/internal/controller/ocirepository"
	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/record/metric"
	"holdfast.dev/holdfast/internal/record/trace"
	"holdfast.dev/holdfast/internal/stage/source/oci"
	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// sources returns the parts that all controllers of sources work with.
func (o *Operator) sources() source.Deps {
	host := o.config.ArtifactHost
	if host == "" {
		host = o.served.host()
	}
	return source.Deps{
		Client:    o.manager.GetClient(),
		Metrics:   o.metrics,
		Events:    o.teller("source-controller"),
		Record:    o.recorder,
		Store:     o.store,
		PublicURL: "http://" + host + "/",
		Secrets:   o.manager.GetAPIReader(), // a cache would hold every Secret of the cluster
		Jitter: func(interval time.Duration) time.Duration {
			return interval + time.Duration(rand.Float64()*o.config.Jitter*float64(interval)) //nolint:gosec // it only spreads load
		},
		Identities: o.identities,
	}
}

// serveSources builds the controllers of the sources that are read over HTTP. Their connections are shared.
func (o *Operator) serveSources() error {
	pool := &transport.Pool{Proxy: http.ProxyFromEnvironment}
	if o.config.serves(OCIRepositories) {
		if err := o.serveOCI(pool); err != nil {
			return err
		}
	}
	return o.serveCharts(pool)
}

func (o *Operator) serveOCI(pool *transport.Pool) error {
	fetcher := oci.New(oci.Options{Scratch: o.store.Scratch, Pool: pool})
	if err := o.manager.Add(forget(fetcher.Prune)); err != nil {
		return err
	}
	_, err := ocirepository.Setup(o.manager, ocirepository.Deps{
		Deps:    o.sources(),
		Fetcher: watchedRegistry{fetcher, o.metrics, o.tracing.Tracer()},
	}, source.Options{})
	return err
}

// forget calls a function that forgets what nobody uses any more, now and then.
func forget(prune func(unusedFor time.Duration)) manager.RunnableFunc {
	return func(ctx context.Context) error {
		tick := time.NewTicker(prunePause)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				prune(unusedFor)
			}
		}
	}
}

// watchedRegistry measures and traces looks at registries.
type watchedRegistry struct {
	*oci.Fetcher
	metrics *metric.Set
	tracer  oteltrace.Tracer
}

// Resolve finds out which artifact is meant.
func (r watchedRegistry) Resolve(ctx context.Context, request oci.Request) (oci.Found, error) {
	ctx, span := r.tracer.Start(ctx, "fetch source", oteltrace.WithAttributes(
		attribute.String("holdfast.source.kind", sourcev1.OCIRepositoryKind), trace.Address("url.full", request.URL)))
	began := time.Now()
	found, err := r.Fetcher.Resolve(ctx, request)
	r.metrics.Fetch(sourcev1.OCIRepositoryKind, time.Since(began), err)
	span.SetAttributes(attribute.String("holdfast.revision", found.Revision))
	trace.End(span, err)
	return found, err
}
