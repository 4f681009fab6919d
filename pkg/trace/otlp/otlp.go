// Package otlp sends spans to a collector, by OTLP over HTTP. What it does not get rid of
// is lost, and counted: nothing waits for a collector.
package otlp

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Config is where spans go. The variables OTEL_EXPORTER_OTLP_* (except the endpoint),
// OTEL_BSP_* (except the size of the queue) and OTEL_RESOURCE_ATTRIBUTES say the rest.
type Config struct {
	Endpoint string      // a URL; without a path, /v1/traces
	Sample   float64     // of the traces that begin here, from 0 to 1
	Service  string      // what this process is called, unless OTEL_SERVICE_NAME says so
	Version  string      // of the program
	OnLost   func(error) // called the first time that spans cannot be sent
}

// queued is how many spans may wait to be sent, or be on their way.
const queued = 2048

// closeWait is how long Close waits for the collector.
const closeWait = 2 * time.Second

// Exporter is a provider of tracers whose spans are sent. It is safe for concurrent use.
type Exporter struct {
	*sdktrace.TracerProvider
	out *outlet
}

// Open starts to send. Nothing is connected before there are spans. The caller closes the
// exporter.
func Open(ctx context.Context, c Config) (*Exporter, error) {
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("open the exporter of traces: %w", err)
	}
	if endpoint.Path == "" {
		endpoint.Path = "/v1/traces"
	}
	client, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint.String()))
	if err != nil {
		return nil, fmt.Errorf("open the exporter of traces: %w", err)
	}
	of, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithAttributes(attribute.String("service.name", c.Service), attribute.String("service.version", c.Version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe this process for traces: %w", err)
	}
	out := &outlet{SpanExporter: client, onLost: c.OnLost, stop: make(chan struct{})}
	batches := sdktrace.NewBatchSpanProcessor(out, sdktrace.WithMaxQueueSize(queued))
	return &Exporter{
		TracerProvider: sdktrace.NewTracerProvider(
			sdktrace.WithSampler(sampler{sdktrace.TraceIDRatioBased(c.Sample)}),
			sdktrace.WithResource(of), sdktrace.WithSpanProcessor(&inlet{batches, out}),
		),
		out: out,
	}, nil
}

// Counts returns how many spans were sent, and how many were lost because the collector took
// none, or none fast enough.
func (e *Exporter) Counts() (sent, lost uint64) { return e.out.sent.Load(), e.out.lost.Load() }

// Close sends what is left, for a short time. It is called once.
func (e *Exporter) Close() {
	timer := time.AfterFunc(closeWait, func() { close(e.out.stop) }) // ends every try
	defer timer.Stop()
	_ = e.Shutdown(context.Background()) // what was lost is counted
}

// inlet takes spans as long as there is room for them, so that the processor behind it never
// drops any: it does not say how many.
type inlet struct {
	sdktrace.SpanProcessor
	out *outlet
}

func (i *inlet) OnEnd(s sdktrace.ReadOnlySpan) {
	if i.out.waiting.Add(1) > queued {
		i.out.waiting.Add(-1)
		i.out.lost.Add(1)
		return
	}
	i.SpanProcessor.OnEnd(s)
}

// outlet sends spans and counts them.
type outlet struct {
	sdktrace.SpanExporter
	onLost func(error)
	once   sync.Once
	stop   chan struct{} // closed when there is no time left

	waiting    atomic.Int64
	sent, lost atomic.Uint64
}

// ExportSpans sends spans. Its error is always nil: others would reach the standard log again
// and again.
func (o *outlet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sending := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-o.stop:
			cancel()
		case <-sending:
		}
	})
	err := o.SpanExporter.ExportSpans(ctx, spans)
	close(sending)
	watch.Wait()
	n := len(spans)
	o.waiting.Add(int64(-n))
	if err == nil {
		o.sent.Add(uint64(n))
		return nil
	}
	o.lost.Add(uint64(n))
	if o.onLost != nil {
		o.once.Do(func() { o.onLost(err) })
	}
	return nil
}

// sampler follows the trace that a span belongs to, or is linked with, and decides about
// others by their ids.
type sampler struct{ sdktrace.Sampler }

func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := oteltrace.SpanContextFromContext(p.ParentContext)
	sampled := parent.IsSampled()
	for _, link := range p.Links {
		sampled = sampled || link.SpanContext.IsSampled()
	}
	switch {
	case sampled:
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: parent.TraceState()}
	case parent.IsValid():
		return sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: parent.TraceState()}
	default:
		return s.Sampler.ShouldSample(p)
	}
}
