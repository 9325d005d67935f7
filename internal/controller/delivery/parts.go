package delivery

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/metric"
	"holdfast.dev/holdfast/internal/stage/observe"
)

// Trees opens the files of an artifact, from the local store or by HTTP, with its digest verified.
type Trees interface {
	Open(ctx context.Context, artifact *meta.Artifact) (tree.Tree, error)
}

// Follower keeps single objects at hand by watches. A missing object is nil without an error.
type Follower interface {
	Get(ctx context.Context, ref object.Ref) (*unstructured.Unstructured, error)
	Keep(user string, refs []object.Ref)
}

// Teller records Kubernetes events. client-go's record.EventRecorder is one.
type Teller interface {
	AnnotatedEventf(about runtime.Object, annotations map[string]string, kind, reason, format string, args ...any)
}

// Parts are what a controller of units works with, whichever their kind.
type Parts struct {
	Client   client.Client // reads from the manager's cache
	Line     *pipeline.Line
	Trees    Trees
	Follower Follower
	Events   Teller
	// Local is the cluster that the units' resources are in.
	Local pipeline.Site
	// Observe makes an observer for a remote cluster; its wake-ups go to the same Inbox.
	Observe func(*kube.Cluster) *observe.Observer
	Inbox   *Inbox
	Metrics *metric.Set // nil measures nothing
	// Record keeps what happened; nil means record.Nowhere().
	Record record.Recorder
	// Identities makes credentials of ServiceAccounts; nil makes none.
	Identities *identity.Source
}

// Options are settings with the meaning of Flux's flags (flux-contract 2.10).
type Options struct {
	Concurrent                      int     // visits at once; 0 means 20: a visit holds no worker while it waits
	IntervalJitter                  float64 // share of the interval, 0 to 1
	NoCrossNamespaceRefs            bool
	DefaultServiceAccount           string
	DefaultKubeConfigServiceAccount string
	InsecureKubeconfigTLS           bool
	Releases                        Releases
	AdditiveCELDependencyCheck      bool
}

// concurrent is how many visits are made at once unless it is set.
const concurrent = 20

// Complete fills in what was left out.
func (p Parts) Complete(o Options) (Parts, Options) {
	if o.Concurrent == 0 {
		o.Concurrent = concurrent
	}
	if p.Record == nil {
		p.Record = record.Nowhere()
	}
	return p, o
}

// Sites are the clusters that the units may name.
func (p Parts) Sites(o Options) *Sites {
	site := SiteOptions{
		DefaultServiceAccount: o.DefaultServiceAccount, DefaultKubeConfigServiceAccount: o.DefaultKubeConfigServiceAccount,
		InsecureKubeconfigTLS: o.InsecureKubeconfigTLS, Observe: p.Observe, Identities: p.Identities,
	}
	if p.Metrics != nil {
		site.Requests = p.Metrics.Request
	}
	return NewSites(p.Local, p.Follower, site)
}
