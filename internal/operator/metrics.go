package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"holdfast.dev/holdfast/internal/controller/measure"
	"holdfast.dev/holdfast/internal/record/metric"
)

// Metrics returns what this operator counts. It is a record.Recorder.
func (o *Operator) Metrics() *metric.Set { return o.metrics }

// MetricsHost is where metrics are served, "" where they are not.
func (o *Operator) MetricsHost() string {
	if o.scraped == nil {
		return ""
	}
	return o.scraped.listener.Addr().String()
}

// metricServer serves what the operator counts, together with what controller-runtime counts for the
// whole process. The manager's own server could not: it knows the latter alone, and a process may run
// several operators.
type metricServer struct {
	listener net.Listener
	server   *http.Server
}

func listenForScrapes(address string, set *metric.Set) (*metricServer, error) {
	if address == "" || address == "0" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serving metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.Gatherers{set, metrics.Registry}, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4,
	}))
	return &metricServer{listener: listener, server: &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}}, nil
}

// Start implements manager.Runnable.
func (m *metricServer) Start(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = m.server.Close() })
	defer stop()
	if err := m.server.Serve(m.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving metrics: %w", err)
	}
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica tells of itself.
func (m *metricServer) NeedLeaderElection() bool { return false }

// serveMetrics makes the endpoint and what is computed for each scrape.
func (o *Operator) serveMetrics() error {
	var err error
	if o.scraped, err = listenForScrapes(o.config.MetricsAddress, o.metrics); err != nil || o.scraped == nil {
		return err
	}
	resources := &measure.Resources{Reader: o.manager.GetCache(), Set: o.metrics, Leads: func() bool {
		select {
		case <-o.manager.Elected():
			return true
		default:
			return false
		}
	}}
	if err := resources.Show(o.shown()...); err != nil {
		return err
	}
	if err := o.metrics.Register(resources); err != nil {
		return err
	}
	if err := o.metrics.Watch(o.Watched); err != nil {
		return err
	}
	return o.manager.Add(o.scraped)
}

// shown lists the kinds that are in the manager's cache anyway.
func (o *Operator) shown() []string {
	var kinds []string
	if o.config.serves(GitRepositories) {
		kinds = append(kinds, sourcev1.GitRepositoryKind)
	}
	if o.config.serves(HelmRepositories) {
		kinds = append(kinds, sourcev1.HelmRepositoryKind)
	}
	if o.config.serves(HelmCharts) {
		kinds = append(kinds, sourcev1.HelmChartKind)
	}
	if o.config.serves(Kustomizations) {
		kinds = append(kinds, kustomizev1.KustomizationKind)
	}
	if o.config.serves(HelmReleases) {
		kinds = append(kinds, helmv2.HelmReleaseKind)
	}
	if o.receivers {
		kinds = append(kinds, notificationv1.ReceiverKind)
	}
	return kinds
}
