package metric

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast.dev/holdfast/internal/kube"
	"holdfast.dev/holdfast/internal/stage/observe"
)

type requestMetrics struct {
	total *prometheus.CounterVec
	took  *prometheus.HistogramVec
}

func newRequestMetrics(f factory) requestMetrics {
	return requestMetrics{
		total: f.counter("holdfast_api_requests_total",
			"Requests to API servers, by verb and class of the answer; code is 0 where none came.", "verb", "code"),
		took: f.histogram("holdfast_api_request_seconds",
			"Time until API servers answered.", short(), "verb"),
	}
}

// Request counts a request to an API server. It is what kube.Meter wants.
func (s *Set) Request(r kube.Request) {
	s.requests.total.WithLabelValues(r.Verb, classOf(r.Status)).Inc()
	if r.Verb != "watch" {
		s.requests.took.WithLabelValues(r.Verb).Observe(r.Took.Seconds())
	}
}

// classOf keeps the label small, but tells what one has to know apart: throttling and conflicts.
func classOf(status int) string {
	switch status {
	case 0, 409, 429:
		return strconv.Itoa(status)
	default:
		return strconv.Itoa(status/100) + "xx"
	}
}

// Watch shows what observers hold, as stats says at the time of a scrape.
func (s *Set) Watch(stats func() observe.Stats) error {
	return s.registry.Register(watched{stats: stats, figures: figures()})
}

// figure is one of an observer's figures.
type figure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(observe.Stats) float64
}

func figures() []figure {
	of := func(kind prometheus.ValueType, name, help string, value func(observe.Stats) float64) figure {
		return figure{prometheus.NewDesc(name, help, nil, nil), kind, value}
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	return []figure{
		of(gauge, "holdfast_watched_objects", "Objects that are watched.", func(s observe.Stats) float64 { return float64(s.Records) }),
		of(gauge, "holdfast_watched_bytes", "About what the records of watched objects take.", func(s observe.Stats) float64 { return float64(s.Bytes) }),
		of(gauge, "holdfast_watched_units", "Units whose objects are watched.", func(s observe.Stats) float64 { return float64(s.Claims) }),
		of(gauge, "holdfast_watches", "Watches that are open or being opened.", func(s observe.Stats) float64 { return float64(s.Watches) }),
		of(gauge, "holdfast_watches_broken", "Watches that are not connected.", func(s observe.Stats) float64 { return float64(s.Broken) }),
		of(counter, "holdfast_watch_events_total", "Objects received from watches.", func(s observe.Stats) float64 { return float64(s.Events) }),
		of(counter, "holdfast_watch_wakes_total", "Times that a watch woke a unit.", func(s observe.Stats) float64 { return float64(s.Wakes) }),
	}
}

// watched is a collector of an observer's figures.
type watched struct {
	stats   func() observe.Stats
	figures []figure
}

// Describe implements prometheus.Collector.
func (w watched) Describe(out chan<- *prometheus.Desc) {
	for _, one := range w.figures {
		out <- one.desc
	}
}

// Collect implements prometheus.Collector.
func (w watched) Collect(out chan<- prometheus.Metric) {
	stats := w.stats()
	for _, one := range w.figures {
		out <- prometheus.MustNewConstMetric(one.desc, one.kind, one.value(stats))
	}
}
