package operator

import (
	"math/rand/v2"
	"time"

	"holdfast.dev/holdfast/internal/controller/source"
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
	}
}
