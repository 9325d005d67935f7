package metric

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type hookMetrics struct {
	calls *prometheus.CounterVec
	took  *prometheus.HistogramVec
	asked *prometheus.CounterVec
}

func newHookMetrics(f factory) hookMetrics {
	return hookMetrics{
		calls: f.counter("holdfast_webhooks_total",
			"Calls of webhooks, by the receiver's type and the status of the answer; the type is empty where no receiver was meant.", "type", "code"),
		took:  f.histogram("holdfast_webhook_seconds", "How long a call of a webhook took.", short(), "type"),
		asked: f.counter("holdfast_webhook_requests_total", "Resources that webhooks asked to be reconciled.", "type", "result"),
	}
}

// Webhook counts a call of a webhook.
func (s *Set) Webhook(receiver string, status int, took time.Duration) {
	s.hooks.calls.WithLabelValues(receiver, strconv.Itoa(status)).Inc()
	s.hooks.took.WithLabelValues(receiver).Observe(took.Seconds())
}

// WebhookRequest counts a resource that a webhook asked to be reconciled.
func (s *Set) WebhookRequest(receiver string, err error) {
	s.hooks.asked.WithLabelValues(receiver, results[err != nil]).Inc()
}
