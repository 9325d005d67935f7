package metric

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast.dev/holdfast/internal/record"
)

// fluxMetrics have Flux's names, labels and buckets, so that its dashboards and alerts work unchanged.
type fluxMetrics struct {
	duration *prometheus.HistogramVec
	requests *prometheus.HistogramVec
}

func newFluxMetrics(f factory) fluxMetrics {
	return fluxMetrics{
		duration: f.histogram("gotk_reconcile_duration_seconds",
			"The duration in seconds of a GitOps Toolkit resource reconciliation.",
			prometheus.ExponentialBuckets(10e-9, 10, 10), "kind", "name", "namespace"),
		requests: f.histogram("holdfast_reconcile_api_requests",
			"Requests to API servers that one reconciliation made.",
			[]float64{0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}, "kind"),
	}
}

// Visit measures a reconciliation that begins now. The caller calls end when it is over.
func (s *Set) Visit(subject record.Subject) (end func(requests int)) {
	began := s.now()
	return func(requests int) { s.visited(subject, s.now().Sub(began), requests) }
}

func (s *Set) visited(subject record.Subject, took time.Duration, requests int) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.storyOf(subject) // so that the series is dropped with the subject
	s.flux.duration.WithLabelValues(subject.Kind, subject.Name, subject.Namespace).Observe(took.Seconds())
	s.flux.requests.WithLabelValues(subject.Kind).Observe(float64(requests))
}
