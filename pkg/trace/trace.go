// Package trace records how entries get from Amp to a destination, as OpenTelemetry
// traces: one trace per sampled entry, across all processes. A process that writes the log
// begins it and puts its context into the header of the message ([Header]); the sinks
// continue it. Everything here does nothing, and allocates nothing, on a nil receiver, which
// is what there is without a place to send traces to. docs/traces.md describes the spans.
package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/ampipe/ampipe/pkg/entry"
)

// Header is the header of a message of the log that has the context of its trace, as W3C
// defines it. A message whose entry is not traced has none.
const Header = "traceparent"

// Provider makes the tracers of a program.
type Provider = oteltrace.TracerProvider

// Tracer makes the spans of one pipeline in one process. It is safe for concurrent use.
type Tracer struct {
	otel     oteltrace.Tracer
	pipeline string
	replays  bool
}

// New returns the tracer of a pipeline; nil if provider is nil.
func New(provider Provider, pipeline string) *Tracer {
	if provider == nil {
		return nil
	}
	return &Tracer{otel: provider.Tracer("github.com/ampipe/ampipe"), pipeline: pipeline}
}

// Replaying returns the tracer of entries that are applied again: each begins a trace of its
// own, with a link to the one it was published in, which may be long over.
func (t *Tracer) Replaying() *Tracer {
	if t == nil {
		return nil
	}
	again := *t
	again.replays = true
	return &again
}

// parentKey is the key of the value that [Parent] returns.
type parentKey struct{}

// Parent returns what a message that is published under ctx has as its [Header]; empty: none.
func Parent(ctx context.Context) string {
	parent, _ := ctx.Value(parentKey{}).(string)
	return parent
}

// withParent returns a context whose messages are of the trace of a span.
func withParent(ctx context.Context, span context.Context) context.Context {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(span, carrier)
	return context.WithValue(ctx, parentKey{}, carrier[Header])
}

// remote returns the span that a header names. It is not valid if the header is not.
func remote(parent string) oteltrace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{Header: parent})
	return oteltrace.SpanContextFromContext(ctx)
}

// step records a part of the work of a span's context that is over.
func (t *Tracer) step(ctx context.Context, name string, from, to time.Time, err error) {
	_, span := t.otel.Start(ctx, name, oteltrace.WithTimestamp(from))
	failed(span, err)
	span.End(oteltrace.WithTimestamp(to))
}

// failed marks a span as failed, unless err is nil.
func failed(span oteltrace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}

// failure is a try that has failed.
type failure struct {
	at  time.Time
	err error
}

// mostFailures is how many failures of one part of the work are kept.
const mostFailures = 8

// failures are the tries that have failed of a part of the work.
type failures struct {
	count int
	first []failure
}

func (f *failures) add(err error) {
	f.count++
	if len(f.first) < mostFailures {
		f.first = append(f.first, failure{time.Now(), err})
	}
}

// record adds the failures, and how often it was tried in all, to a span.
func (f *failures) record(span oteltrace.Span) {
	for _, one := range f.first {
		span.RecordError(one.err, oteltrace.WithTimestamp(one.at))
	}
	span.SetAttributes(attribute.Int("ampipe.tries", f.count+1))
}

// describe adds what an entry is to a span.
func (t *Tracer) describe(span oteltrace.Span, lane string, h entry.Header, rows, bytes int) {
	span.SetAttributes(
		attribute.String("ampipe.pipeline", t.pipeline),
		attribute.String("ampipe.lane", lane),
		attribute.String("ampipe.kind", string(h.Kind)),
		attribute.Int64("ampipe.first_block", int64(h.Range.Start)),
		attribute.Int64("ampipe.last_block", int64(h.Range.Last())),
		attribute.Int("ampipe.rows", rows),
		attribute.Int("ampipe.bytes", bytes),
	)
}
