package operator

import (
	"math/rand/v2"
	"path/filepath"
	"time"

	"holdfast.dev/holdfast/internal/controller/gitrepository"
	"holdfast.dev/holdfast/internal/stage/source/git"
)

// serveGit builds the fetcher and the controller of GitRepositories.
func (o *Operator) serveGit() error {
	fetcher := git.New(git.Options{Dir: filepath.Join(o.config.Dir, "git")})
	host := o.config.ArtifactHost
	if host == "" {
		host = o.served.host()
	}
	controller, err := gitrepository.Setup(o.manager, gitrepository.Deps{
		Client:    o.manager.GetClient(),
		Events:    o.manager.GetEventRecorderFor("source-controller"), //nolint:staticcheck // Flux's events are core/v1 events with annotations
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
