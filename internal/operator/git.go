package operator

import (
	"context"
	"net/http"
	"path/filepath"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"holdfast.dev/holdfast/internal/controller/gitrepository"
	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/record/metric"
	"holdfast.dev/holdfast/internal/record/trace"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/githubapp"
)

// serveGit builds the fetcher and the controller of GitRepositories.
func (o *Operator) serveGit() error {
	fetcher := git.New(git.Options{Dir: filepath.Join(o.config.Dir, "git"), Proxy: http.ProxyFromEnvironment})
	if err := o.manager.Add(prune(fetcher, o.config.Log)); err != nil {
		return err
	}
	controller, err := gitrepository.Setup(o.manager, gitrepository.Deps{
		Deps:    o.sources(),
		Fetcher: watchedFetcher{fetcher, o.metrics, o.tracing.Tracer()},
		Apps:    &githubapp.Apps{Proxy: http.ProxyFromEnvironment},
	}, source.Options{})
	o.git = controller
	return err
}

// watchedFetcher measures and traces looks at remotes.
type watchedFetcher struct {
	*git.Fetcher
	metrics *metric.Set
	tracer  oteltrace.Tracer
}

// Fetch finds out what a remote holds.
func (f watchedFetcher) Fetch(ctx context.Context, request git.Request) (git.Result, error) {
	ctx, span := f.tracer.Start(ctx, "fetch source", oteltrace.WithAttributes(
		attribute.String("holdfast.source.kind", sourcev1.GitRepositoryKind), trace.Address("url.full", request.URL)))
	began := time.Now()
	result, err := f.Fetcher.Fetch(ctx, request)
	f.metrics.Fetch(sourcev1.GitRepositoryKind, time.Since(began), err)
	span.SetAttributes(attribute.String("holdfast.revision", result.Revision), attribute.Bool("holdfast.unchanged", result.Unchanged))
	trace.End(span, err)
	return result, err
}

const (
	// prunePause is how often cached repositories are looked through.
	prunePause = time.Hour
	// unusedFor is how long a cached repository stays that no source has asked for.
	unusedFor = 24 * time.Hour
)

// prune removes cached repositories that nobody uses any more, now and then.
func prune(fetcher *git.Fetcher, log logr.Logger) manager.RunnableFunc {
	return func(ctx context.Context) error {
		tick := time.NewTicker(prunePause)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				if err := fetcher.Prune(ctx, unusedFor); err != nil && ctx.Err() == nil {
					log.Error(err, "pruning cached repositories")
				}
			}
		}
	}
}
