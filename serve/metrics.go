//go:build !js

package serve

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what Prometheus is told.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	errors   *prometheus.CounterVec
	waited   *prometheus.HistogramVec
	batches  *prometheus.HistogramVec
	passes   *prometheus.HistogramVec
	decode   prometheus.Histogram
}

// seconds are bounds from a millisecond to half a minute.
var seconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vggo_request_seconds", Help: "From the first byte of a request to the last of its answer.", Buckets: seconds},
			[]string{"protocol", "route", "code"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vggo_errors_total", Help: "Requests that failed, by the kind in the answer."},
			[]string{"protocol", "kind"}),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vggo_queue_seconds", Help: "Time that images wait to be computed.", Buckets: seconds}, []string{"model"}),
		batches: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vggo_batch_images", Help: "Images computed at once.", Buckets: prometheus.ExponentialBuckets(1, 2, 8)},
			[]string{"model"}),
		passes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vggo_batch_seconds", Help: "Time that a batch takes to compute.", Buckets: seconds}, []string{"model"}),
		decode: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "vggo_decode_seconds", Help: "Time to decode and scale a picture.", Buckets: seconds}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, m.errors, m.waited, m.batches, m.passes, m.decode, queueCollector{s},
		gauge("vggo_ready", "1 while requests are taken.", func() float64 {
			if s.usable() {
				return 1
			}
			return 0
		}),
		gauge("vggo_work_used_ratio", "Share of the budget of multiply-accumulates that admitted requests take.",
			func() float64 {
				if l := s.loaded.Load(); l != nil {
					return float64(l.work.inUse()) / float64(l.work.budget)
				}
				return 0
			}),
		gauge("vggo_requests_in_flight", "Requests being answered.", func() float64 { return float64(s.inFlight.Load()) }),
		gauge("vggo_buffer_bytes", "Bytes of requests and answers in memory.",
			func() float64 { return float64(s.buffers.inUse()) }),
		gauge("vggo_connections", "Open connections.", func() float64 { return float64(s.connected()) }),
	)
	return m
}

// queueCollector tells of each model's queue.
type queueCollector struct{ *Server }

var queuedDesc = prometheus.NewDesc("vggo_queue_images", "Images that wait to be computed.", []string{"model"}, nil)

func (q queueCollector) Describe(to chan<- *prometheus.Desc) { to <- queuedDesc }

func (q queueCollector) Collect(to chan<- prometheus.Metric) {
	if l := q.loaded.Load(); l != nil {
		for _, m := range l.models {
			to <- prometheus.MustNewConstMetric(queuedDesc, prometheus.GaugeValue, float64(m.batches.waiting()), m.name)
		}
	}
}

func (m *metrics) request(protocol, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(protocol, route, strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *metrics) batch(model string, images int, took time.Duration) {
	m.batches.WithLabelValues(model).Observe(float64(images))
	m.passes.WithLabelValues(model).Observe(took.Seconds())
}

func (m *metrics) refused(protocol, kind string) { m.errors.WithLabelValues(protocol, kind).Inc() }

func (m *metrics) queued(model string, waited time.Duration) {
	m.waited.WithLabelValues(model).Observe(waited.Seconds())
}

func (m *metrics) decoded(took time.Duration) { m.decode.Observe(took.Seconds()) }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{DisableCompression: true})
}
