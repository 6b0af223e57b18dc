package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var (
	requestsTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "http_requests_total", Help: "Requests answered.",
	}, []string{"handler", "code"})
	requestSeconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "From a request to its answer.",
		Buckets: []float64{0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 30},
	}, []string{"handler"})
	queueLength = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "inference_queue_length", Help: "Requests that wait for the worker.",
	})
	busySeconds = promauto.NewCounter(prometheus.CounterOpts{
		Name: "inference_busy_seconds_total", Help: "Seconds that the worker worked.",
	})
)

func exposed() http.Handler { return promhttp.Handler() }

// half is a service with one worker.
type half struct {
	work   time.Duration
	worker chan struct{}
	places chan struct{}
	tail   *tail // absent in the last
}

func newHalf(work time.Duration, queue int) *half {
	// Both are there from the start, so that the first request is growth and no beginning.
	requestsTotal.WithLabelValues("/infer", "200")
	requestSeconds.WithLabelValues("/infer")
	return &half{work, make(chan struct{}, 1), make(chan struct{}, queue), nil}
}

func (h *half) measured() http.Handler {
	names := prometheus.Labels{"handler": "/infer"}
	return promhttp.InstrumentHandlerDuration(requestSeconds.MustCurryWith(names),
		promhttp.InstrumentHandlerCounter(requestsTotal.MustCurryWith(names), h))
}

func (h *half) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case h.places <- struct{}{}:
	default:
		http.Error(answer, "too many wait", http.StatusServiceUnavailable)
		return
	}
	if !h.worked(request.Context()) || h.tail == nil {
		return
	}
	if err := h.tail.call(request); err != nil {
		http.Error(answer, err.Error(), http.StatusBadGateway)
	}
}

// worked waits for the worker and has it work; false where nobody waits for it any more.
func (h *half) worked(ctx context.Context) bool {
	defer func() { <-h.places }()
	queueLength.Inc()
	select {
	case h.worker <- struct{}{}:
		queueLength.Dec()
	case <-ctx.Done():
		queueLength.Dec()
		return false
	}
	begin := time.Now()
	time.Sleep(h.work)
	busySeconds.Add(time.Since(begin).Seconds())
	<-h.worker
	return true
}

// tail is the other half, called over a few connections.
type tail struct {
	url     string
	free    chan struct{}
	payload []byte
	client  *http.Client

	waiting       prometheus.Gauge
	held          prometheus.Counter
	sent, sending prometheus.Counter
}

func newTail(url string, connections, payload int) *tail {
	gauge := func(name, help string) prometheus.Gauge {
		return promauto.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return promauto.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge("upstream_connections", "Calls of the other half that may be under way at once.").Set(float64(connections))
	return &tail{
		url: url, free: make(chan struct{}, connections), payload: make([]byte, payload),
		// A connection a call: a Service spreads connections, and one that is kept would stay with its pod.
		client:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second},
		waiting: gauge("upstream_waiting", "Requests that wait for a connection to the other half."),
		held:    counter("upstream_held_seconds_total", "Seconds that connections were held, summed over them."),
		sent:    counter("sent_bytes_total", "Bytes sent to the other half."),
		sending: counter("sending_seconds_total", "Seconds that sending them took, summed over all calls."),
	}
}

func (t *tail) call(request *http.Request) error {
	t.waiting.Inc()
	t.free <- struct{}{}
	t.waiting.Dec()
	begin := time.Now()
	defer func() {
		t.held.Add(time.Since(begin).Seconds())
		<-t.free
	}()
	var connected time.Time
	ctx := httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected = time.Now() },
		WroteRequest: func(wrote httptrace.WroteRequestInfo) {
			if wrote.Err == nil {
				t.sent.Add(float64(len(t.payload)))
				t.sending.Add(time.Since(connected).Seconds())
			}
		},
	})
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(t.payload))
	if err != nil {
		return err
	}
	told, err := t.client.Do(call)
	if err != nil {
		return err
	}
	defer told.Body.Close()
	if told.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", t.url, told.Status)
	}
	_, err = io.Copy(io.Discard, told.Body)
	return err
}
