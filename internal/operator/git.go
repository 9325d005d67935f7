package operator

import (
	"context"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"holdfast.dev/holdfast/internal/controller/gitrepository"
	"holdfast.dev/holdfast/internal/stage/source/git"
)

// serveGit builds the fetcher and the controller of GitRepositories.
func (o *Operator) serveGit() error {
	fetcher := git.New(git.Options{Dir: filepath.Join(o.config.Dir, "git"), Proxy: http.ProxyFromEnvironment})
	if err := o.manager.Add(prune(fetcher, o.config.Log)); err != nil {
		return err
	}
	host := o.config.ArtifactHost
	if host == "" {
		host = o.served.host()
	}
	controller, err := gitrepository.Setup(o.manager, gitrepository.Deps{
		Client:    o.manager.GetClient(),
		Metrics:   o.metrics,
		Events:    o.manager.GetEventRecorderFor("source-controller"), //nolint:staticcheck // Flux's events are core/v1 events with annotations
		Record:    o.recorder,
		Store:     o.store,
		Fetcher:   fetcher,
		PublicURL: "http://" + host + "/",
		Secrets:   o.manager.GetAPIReader(), // a cache would hold every Secret of the cluster
		Jitter: func(interval time.Duration) time.Duration {
			return interval + time.Duration(rand.Float64()*o.config.Jitter*float64(interval)) //nolint:gosec // it only spreads load
		},
	}, gitrepository.Options{})
	o.git = controller
	return err
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
