package operator

import (
	"holdfast.dev/holdfast/internal/controller/helmchart"
	"holdfast.dev/holdfast/internal/controller/helmrepository"
	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/stage/source/archive"
	"holdfast.dev/holdfast/internal/stage/source/helm"
	"holdfast.dev/holdfast/internal/stage/source/transport"
)

// serveCharts builds the controllers of HelmRepositories and of HelmCharts, which share connections and the
// indexes that were read.
func (o *Operator) serveCharts(pool *transport.Pool) error {
	remotes := &helm.Client{Pool: pool, Agent: "holdfast"}
	library := helm.NewLibrary(0)
	if o.config.serves(HelmRepositories) {
		_, err := helmrepository.Setup(o.manager, helmrepository.Deps{Deps: o.sources(), Fetcher: remotes, Library: library}, source.Options{})
		if err != nil {
			return err
		}
	}
	if !o.config.serves(HelmCharts) {
		return nil
	}
	foreign := trees{archive.New(o.store, archive.Options{})}
	_, err := helmchart.Setup(o.manager, helmchart.Deps{Deps: o.sources(), Client: remotes, Library: library, Trees: foreign.Open}, source.Options{})
	return err
}
