package operator

import (
	"context"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"holdfast.dev/holdfast/internal/controller/delivery"
	"holdfast.dev/holdfast/internal/controller/helmrelease"
	"holdfast.dev/holdfast/internal/controller/kustomization"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/follow"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/record/history"
	"holdfast.dev/holdfast/internal/stage/apply"
	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/observe"
	"holdfast.dev/holdfast/internal/stage/render"
	"holdfast.dev/holdfast/internal/stage/render/chart"
	"holdfast.dev/holdfast/internal/stage/source/archive"
)

// fleet is what units of one kind have of their own: objects of HelmReleases carry other labels than those of
// Kustomizations, and are written under another name. All but the inbox are nil where the kind is not served.
type fleet struct {
	inbox    *delivery.Inbox
	observer *observe.Observer
	follower *follow.Follower
}

func newFleet() fleet { return fleet{inbox: delivery.NewInbox()} }

func (f *fleet) stop() {
	if f.observer != nil {
		f.observer.Stop()
		f.follower.Stop()
	}
}

func (f *fleet) watched() observe.Stats {
	if f.observer == nil {
		return observe.Stats{}
	}
	return f.observer.Stats()
}

// nature is what tells the units of one kind from those of another.
type nature struct {
	kind    string
	family  object.Family
	manager string // the field manager, which also signs the events
	judges  []check.Judge
}

// serveKustomizations builds the line of Kustomizations and its controller.
func (o *Operator) serveKustomizations(ctx context.Context) error {
	return kustomization.Setup(ctx, o.manager, kustomization.Deps{
		Parts: o.parts(&o.kustomizations, nature{
			kind: kustomizev1.KustomizationKind, family: object.Kustomizations, manager: apply.DefaultManager, judges: o.gate.ofFiles(),
		}),
		Renderer: render.New(render.Options{Count: o.metrics.Build}), Witness: o.witness,
	}, o.config.Kustomizations)
}

// serveHelmReleases builds the line of Helm releases and its controller.
func (o *Operator) serveHelmReleases(ctx context.Context) error {
	return helmrelease.Setup(ctx, o.manager, helmrelease.Deps{
		Parts: o.parts(&o.helm, nature{
			kind: helmv2.HelmReleaseKind, family: object.HelmReleases, manager: helmrelease.Manager, judges: o.gate.ofCharts(),
		}),
		Renderer: chart.New(chart.Options{Count: o.metrics.Build}),
	}, o.config.Kustomizations.Options)
}

// parts builds what a controller of units works with, and begins to watch for its fleet.
func (o *Operator) parts(f *fleet, its nature) delivery.Parts {
	stages := map[string]bool{}
	for _, kind := range o.config.StageKinds {
		stages[kind] = true
	}
	applier := apply.New(apply.Options{Manager: its.manager, Family: its.family, Custom: stages, TakeOver: o.config.TakeOver})
	watch := func(cluster *kube.Cluster) *observe.Observer {
		return observe.New(cluster, observe.Options{
			Manager: applier.Manager(), Family: its.family,
			Wake: func(event observe.Event) { f.inbox.Wake(event.Owner) },
			Log:  o.config.Log.WithName("observe"),
		})
	}
	f.observer, f.follower = watch(o.cluster), follow.New(o.cluster, f.inbox.WakeReaders)
	return delivery.Parts{
		Client: o.manager.GetClient(),
		Line: pipeline.New(applier, pipeline.Options{
			Shelf: history.New(o.cluster, o.config.Namespace, its.kind), Recorder: o.recorder, Tracer: o.tracing.Tracer(),
			Judges: its.judges, Kind: its.kind, Family: its.family,
		}),
		Trees: trees{archive.New(o.store, archive.Options{})}, Follower: f.follower, Events: o.teller(its.manager),
		Local: pipeline.Site{Cluster: o.cluster, Observer: f.observer}, Observe: watch, Inbox: f.inbox,
		Metrics: o.metrics, Record: o.recorder, Identities: o.identities,
	}
}
