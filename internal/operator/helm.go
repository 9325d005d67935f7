package operator

import (
	"context"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/controller/helmrelease"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/follow"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/record/history"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/observe"
	"holdfast.dev/holdfast/internal/stage/render/chart"
	"holdfast.dev/holdfast/internal/stage/source/archive"
)

// helmParts are the parts that HelmReleases have of their own; all but the inbox are nil where they are not served.
type helmParts struct {
	inbox    *delivery.Inbox
	observer *observe.Observer
	follower *follow.Follower
}

func (p helmParts) stop() {
	if p.observer != nil {
		p.observer.Stop()
		p.follower.Stop()
	}
}

// serveHelmReleases builds the line of Helm releases and its controller. It has watches of its own: objects
// of HelmReleases carry other labels than those of Kustomizations, and are written under another name.
func (o *Operator) serveHelmReleases(ctx context.Context) error {
	stages := map[string]bool{}
	for _, kind := range o.config.StageKinds {
		stages[kind] = true
	}
	applier := apply.New(apply.Options{Manager: helmrelease.Manager, Family: object.HelmReleases, Custom: stages, TakeOver: o.config.TakeOver})
	watch := func(cluster *kube.Cluster) *observe.Observer {
		return observe.New(cluster, observe.Options{
			Manager: applier.Manager(), Family: object.HelmReleases,
			Wake: func(event observe.Event) { o.helm.inbox.Wake(event.Owner) },
			Log:  o.config.Log.WithName("observe"),
		})
	}
	o.helm.observer = watch(o.cluster)
	o.helm.follower = follow.New(o.cluster, o.helm.inbox.WakeReaders)
	units := o.config.Kustomizations
	return helmrelease.Setup(ctx, o.manager, helmrelease.Deps{
		Client: o.manager.GetClient(), Metrics: o.metrics,
		Renderer: chart.New(chart.Options{Count: o.metrics.Build}),
		Line: pipeline.New(applier, pipeline.Options{
			Shelf:    history.New(o.cluster, o.config.Namespace, helmv2.HelmReleaseKind),
			Recorder: o.recorder, Tracer: o.tracing.Tracer(), Judges: o.gate.ofCharts(), Kind: helmv2.HelmReleaseKind, Family: object.HelmReleases,
		}),
		Trees:    trees{archive.New(o.store, archive.Options{})},
		Follower: o.helm.follower, Events: o.teller(helmrelease.Manager),
		Local:   pipeline.Site{Cluster: o.cluster, Observer: o.helm.observer},
		Observe: watch, Inbox: o.helm.inbox, Record: o.recorder, Identities: o.identities,
	}, helmrelease.Options{
		Concurrent: units.Concurrent, IntervalJitter: units.IntervalJitter, NoCrossNamespaceRefs: units.NoCrossNamespaceRefs,
		DefaultServiceAccount: units.DefaultServiceAccount, DefaultKubeConfigServiceAccount: units.DefaultKubeConfigServiceAccount,
		InsecureKubeconfigTLS: units.InsecureKubeconfigTLS, Releases: units.Releases, AdditiveCELDependencyCheck: units.AdditiveCELDependencyCheck,
	})
}
