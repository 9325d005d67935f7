package operator

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	v1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"holdfast.dev/holdfast/internal/controller/gitrepository"
	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/event"
	"holdfast.dev/holdfast/internal/record/metric"
	"holdfast.dev/holdfast/internal/record/trace"
	"holdfast.dev/holdfast/internal/record/witness"
	"holdfast.dev/holdfast/internal/stage/decrypt"
	"holdfast.dev/holdfast/internal/stage/observe"
	"holdfast.dev/holdfast/internal/store"
)

// Operator is the daemon, built and ready to run.
type Operator struct {
	config  Config
	manager manager.Manager
	cluster *kube.Cluster
	// identities makes credentials of ServiceAccounts.
	identities           *identity.Source
	store                *store.Store
	served               *artifactServer
	kustomizations, helm fleet
	gate                 gate
	git                  *gitrepository.Controller
	metrics              *metric.Set
	scraped              *metricServer // nil where metrics are not served
	audit                audited
	recorder             record.Recorder // what controllers are given
	witness              *witness.Book   // of requests, for the record
	tracing              *trace.Tracing
	// receivers says that Receivers are served; hooked is nil where webhooks are not answered.
	receivers bool
	hooked    *hookServer
	read      *logServer    // nil where nobody may read the audit log
	hears     []event.Taker // of what controllers say
}

// New connects to the cluster and builds all parts. Nothing runs yet, but the definitions are
// installed if that was asked for, since the parts need them.
func New(ctx context.Context, config Config) (*Operator, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	decrypt.Quiet()
	o := &Operator{config: config, kustomizations: newFleet(), helm: newFleet(), metrics: metric.New(metric.Options{}), witness: witness.New(0)}
	o.config.REST = rest.CopyConfig(config.REST)
	o.config.REST.Wrap(kube.Meter(o.metrics.Request))
	if o.cluster, err = kube.Connect("", o.config.REST, kube.Options{}); err != nil {
		return nil, err
	}
	o.identities = identity.New(o.cluster, config.Identity)
	if o.tracing, err = trace.Start(ctx, trace.Options{Lookup: config.Environment, Version: config.Version}); err != nil {
		return nil, fmt.Errorf("starting: %w", err)
	}
	if config.InstallCRDs {
		if err := InstallDefinitions(ctx, o.cluster); err != nil {
			return nil, err
		}
		if err := installNamespace(ctx, o.cluster, config.Namespace); err != nil {
			return nil, err
		}
	}
	if o.store, err = store.Open(filepath.Join(config.Dir, "store"), store.Options{}); err != nil {
		return nil, err
	}
	if err := o.assemble(ctx); err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

// assemble builds the manager and everything that it runs.
func (o *Operator) assemble(ctx context.Context) error {
	var err error
	if o.served, err = listen(o.config.ArtifactAddress, o.store.Handler()); err != nil {
		return err
	}
	if o.manager, err = newManager(o.config); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	if err := o.openAudit(); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	for _, part := range []manager.Runnable{o.served, manager.RunnableFunc(o.store.Start)} {
		if err := o.manager.Add(part); err != nil {
			return fmt.Errorf("starting: %w", err)
		}
	}
	if err := o.serveAlerts(); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	if o.config.serves(GitRepositories) {
		if err := o.serveGit(); err != nil {
			return fmt.Errorf("starting: %w", err)
		}
	}
	if err := o.serveSources(); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	if o.config.serves(Kustomizations) || o.config.serves(HelmReleases) {
		if err := o.openGate(); err != nil {
			return fmt.Errorf("starting: %w", err)
		}
	}
	if o.config.serves(Kustomizations) {
		if err := o.serveKustomizations(ctx); err != nil {
			return fmt.Errorf("starting: %w", err)
		}
	}
	if o.config.serves(HelmReleases) {
		if err := o.serveHelmReleases(ctx); err != nil {
			return fmt.Errorf("starting: %w", err)
		}
	}
	if o.config.serves(Receivers) {
		if err := o.serveReceivers(ctx); err != nil {
			return fmt.Errorf("starting: %w", err)
		}
	}
	if err := o.serveLogbook(); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	if err := o.serveMetrics(); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	return nil
}

// newManager makes the manager: caches, leader election, metrics and health.
func newManager(c Config) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme, helmv2.AddToScheme, notificationv1.AddToScheme, v1beta3.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	cached := cache.Options{DefaultTransform: cache.TransformStripManagedFields()}
	for _, namespace := range c.Namespaces {
		if cached.DefaultNamespaces == nil {
			cached.DefaultNamespaces = map[string]cache.Config{}
		}
		cached.DefaultNamespaces[namespace] = cache.Config{}
	}
	if c.WatchSelector != "" {
		selector, err := labels.Parse(c.WatchSelector)
		if err != nil {
			return nil, fmt.Errorf("reading the watch label selector: %w", err)
		}
		cached.DefaultLabelSelector = selector
		// A shard serves its share of units, and every alert may be about those.
		everything := cache.ByObject{Label: labels.Everything()}
		cached.ByObject = map[client.Object]cache.ByObject{&v1beta3.Alert{}: everything, &v1beta3.Provider{}: everything}
	}
	shutdown := 10 * time.Second
	reach := rest.CopyConfig(c.REST)
	reach.QPS = -1
	reach.UserAgent = "holdfast"
	twice := true
	mgr, err := ctrl.NewManager(reach, ctrl.Options{
		Scheme: scheme, Logger: c.Log, Cache: cached,
		Metrics:                       server.Options{BindAddress: orNone("")}, // ours serves more: see metricServer,
		HealthProbeBindAddress:        orNone(c.HealthAddress),
		PprofBindAddress:              orNone(c.ProfileAddress),
		LeaderElection:                c.LeaderElection,
		LeaderElectionID:              "holdfast-leader-election",
		LeaderElectionNamespace:       c.Namespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &shutdown,
		// One process may run several operators, as tests do.
		Controller: config.Controller{SkipNameValidation: &twice},
	})
	if err != nil {
		return nil, err
	}
	if err := mgr.AddHealthzCheck("healthz", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("readyz", healthz.Ping)
}

func orNone(address string) string {
	if address == "" {
		return "0"
	}
	return address
}

// Run runs the daemon until ctx ends, and then stops all parts.
func (o *Operator) Run(ctx context.Context) error {
	o.audit.start(ctx, o.manager.Elected())
	err := o.manager.Start(ctx)
	o.kustomizations.stop()
	o.helm.stop()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, o.close())
}

func (o *Operator) close() error {
	err := o.audit.close()
	if err := o.tracing.Shutdown(context.Background()); err != nil {
		o.config.Log.Error(err, "stopping") // a collector that is away must not make a good end a bad one
	}
	if o.hooked != nil {
		_ = o.hooked.listener.Close()
	}
	if o.scraped != nil {
		_ = o.scraped.listener.Close()
	}
	if o.read != nil {
		_ = o.read.listener.Close()
	}
	if o.store != nil {
		err = errors.Join(o.store.Close(), err)
	}
	return err
}

// WakeSource makes a GitRepository look at its remote at once.
func (o *Operator) WakeSource(namespace, name string) {
	if o.git != nil {
		o.git.Wake(types.NamespacedName{Namespace: namespace, Name: name})
	}
}

// WakeUnit makes a Kustomization be looked at, at once.
func (o *Operator) WakeUnit(namespace, name string) {
	o.kustomizations.inbox.Wake(object.Owner{Namespace: namespace, Name: name})
}

// Watched describes what the observers hold, for metrics and diagnosis.
func (o *Operator) Watched() observe.Stats {
	return o.kustomizations.watched().And(o.helm.watched())
}
