package metric

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast.dev/holdfast/internal/record"
)

type objectMetrics struct {
	drift     *prometheus.CounterVec
	contested *prometheus.CounterVec
	pruned    *prometheus.CounterVec
}

func newObjectMetrics(f factory) objectMetrics {
	return objectMetrics{
		drift: f.counter("holdfast_drift_total",
			"Objects that others changed and that were set back, by their kind.", "kind"),
		contested: f.counter("holdfast_drift_contested_total",
			"Corrections that were put off since somebody keeps undoing them, by the object's kind.", "kind"),
		pruned: f.counter("holdfast_pruned_total",
			"Objects that were deleted since nobody wants them any more, by their kind.", "kind"),
	}
}

type sourceMetrics struct {
	revisions *prometheus.CounterVec
	failures  *prometheus.CounterVec
	fetches   *prometheus.HistogramVec
}

func newSourceMetrics(f factory) sourceMetrics {
	return sourceMetrics{
		revisions: f.counter("holdfast_source_revisions_total", "New revisions of sources.", "kind"),
		failures: f.counter("holdfast_source_failures_total",
			"Times that a source began to fail, by what was wrong.", "kind", "failure"),
		fetches: f.histogram("holdfast_source_fetch_seconds",
			"How long a look at a remote took, with the download of what was new.", short(), "kind", "result"),
	}
}

type recordMetrics struct {
	entries      *prometheus.CounterVec
	audits       *prometheus.CounterVec
	auditTime    *prometheus.HistogramVec
	auditLag     *prometheus.GaugeVec
	alerts       *prometheus.CounterVec
	alertQueue   *prometheus.GaugeVec
	alertWaiting *prometheus.GaugeVec
}

func newRecordMetrics(f factory) recordMetrics {
	return recordMetrics{
		entries: f.counter("holdfast_entries_total", "What happened, by its kind.", "kind"),
		audits: f.counter("holdfast_audit_appends_total",
			"Entries that were to be kept in the audit log, by whether they were.", "result"),
		auditTime: f.histogram("holdfast_audit_append_seconds",
			"How long the audit log took to keep an entry.", short()),
		auditLag: f.gauge("holdfast_audit_lag_seconds",
			"Age of the oldest entry that the audit log has not kept yet."),
		alerts: f.counter("holdfast_alerts_total",
			"Deliveries of alerts to providers that came to an end.", "provider", "result"),
		alertQueue:   f.gauge("holdfast_alert_queue", "Alerts that are waiting for their delivery."),
		alertWaiting: f.gauge("holdfast_alert_queue_seconds", "Age of the oldest alert that is waiting for its delivery."),
	}
}

// Record implements record.Recorder. It counts the entry and never refuses it.
func (s *Set) Record(_ context.Context, e record.Entry) error {
	if e.At.IsZero() {
		e.At = s.now()
	}
	s.records.entries.WithLabelValues(string(e.Kind)).Inc()
	s.lock.Lock()
	defer s.lock.Unlock()
	switch e.Kind {
	case record.RevisionSeen:
		s.seen.add(e.Revision.Name, e.At)
		s.sources.revisions.WithLabelValues(e.Subject.Kind).Inc()
	case record.SourceFailed:
		s.sources.failures.WithLabelValues(e.Subject.Kind, "unreachable").Inc()
	case record.RevisionRejected:
		s.sources.failures.WithLabelValues(e.Subject.Kind, "unverified").Inc()
	case record.DriftCorrected:
		touch(s.objects.drift, e)
	case record.Contested:
		touch(s.objects.contested, e)
	case record.Pruned:
		touch(s.objects.pruned, e)
	case record.Retired:
		s.forget(e.Subject)
	default:
		s.release(e)
	}
	return nil
}

var _ record.Recorder = (*Set)(nil)

// touch counts the objects of an entry by their kinds.
func touch(counter *prometheus.CounterVec, e record.Entry) {
	for _, one := range e.Objects {
		counter.WithLabelValues(one.Ref.Kind).Inc()
	}
}

// Fetch measures a look at a remote.
func (s *Set) Fetch(kind string, took time.Duration, err error) {
	s.sources.fetches.WithLabelValues(kind, results[err != nil]).Observe(took.Seconds())
}

// Audited returns a recorder that hands entries on to an audit log and measures how it does.
func (s *Set) Audited(log record.Recorder) record.Recorder {
	s.records.audits.WithLabelValues(success)
	s.records.audits.WithLabelValues(failure)
	return record.Func(func(ctx context.Context, e record.Entry) error {
		began := s.now()
		err := log.Record(ctx, e)
		s.records.auditTime.WithLabelValues().Observe(s.now().Sub(began).Seconds())
		s.records.audits.WithLabelValues(results[err != nil]).Inc()
		return err
	})
}

// FollowAudit asks with each scrape how old the oldest entry is that the audit log has yet to keep; 0 is
// none. It is called before anybody scrapes.
func (s *Set) FollowAudit(lag func() time.Duration) { s.lag = lag }

// Alert counts a delivery that came to an end; provider is the provider's type.
func (s *Set) Alert(provider string, err error) {
	s.records.alerts.WithLabelValues(provider, results[err != nil]).Inc()
}

// AlertQueue says how many alerts wait, and since when the oldest of them does.
func (s *Set) AlertQueue(waiting int, oldest time.Duration) {
	s.records.alertQueue.WithLabelValues().Set(float64(waiting))
	s.records.alertWaiting.WithLabelValues().Set(oldest.Seconds())
}
