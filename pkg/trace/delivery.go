package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/ampipe/ampipe/pkg/entry"
)

// Message is a message of the log that a sink has received.
type Message struct {
	Parent    string // its Header
	Sink      string
	Lane      string
	Seq       uint64
	Delivered int       // how often, this time included
	Stored    time.Time // in the log
	Entry     entry.Header
	Bytes     int
}

// Delivery is a traced message on its way into a destination. A nil one is not traced. One
// goroutine at a time has it.
type Delivery struct {
	tracer   *Tracer
	ctx      context.Context
	span     oteltrace.Span
	received time.Time
}

// Receive begins the work of a sink on a message, if its entry is traced.
func (t *Tracer) Receive(m Message) *Delivery {
	if t == nil || m.Parent == "" {
		return nil
	}
	original := remote(m.Parent)
	if !original.IsSampled() {
		return nil
	}
	// What comes again comes late, and may be applied beside the first time.
	again := t.replays || m.Delivered > 1
	now := time.Now()
	began := now
	ctx := context.Background()
	options := []oteltrace.SpanStartOption{oteltrace.WithSpanKind(oteltrace.SpanKindConsumer)}
	if again {
		options = append(options, oteltrace.WithLinks(oteltrace.Link{SpanContext: original}))
	} else if m.Stored.Before(now) && !m.Stored.IsZero() {
		began = m.Stored
	}
	if !t.replays {
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, original)
	}
	d := &Delivery{tracer: t, received: now}
	d.ctx, d.span = t.otel.Start(ctx, "sink "+m.Sink, append(options, oteltrace.WithTimestamp(began))...)
	if !d.span.IsRecording() {
		return nil
	}
	t.describe(d.span, m.Lane, m.Entry, m.Entry.Rows, m.Bytes)
	d.span.SetAttributes(
		attribute.String("ampipe.sink", m.Sink),
		attribute.Int64("ampipe.sequence", int64(m.Seq)),
		attribute.Bool("ampipe.replay", t.replays),
	)
	if m.Delivered > 0 {
		d.span.SetAttributes(attribute.Int("ampipe.delivery", m.Delivered))
	}
	if began.Before(now) {
		t.step(d.ctx, "in the log", began, now, nil)
	}
	return d
}

// Decodes notes that the message is decoded now, and returns when that began.
func (d *Delivery) Decodes() (began time.Time) {
	if d == nil {
		return time.Time{}
	}
	began = time.Now()
	d.tracer.step(d.ctx, "queued", d.received, began, nil)
	return began
}

// Decoded notes that the message is decoded.
func (d *Delivery) Decoded(began time.Time, err error) {
	if d != nil {
		d.tracer.step(d.ctx, "decode", began, time.Now(), err)
	}
}

// Work is what a worker did for several entries at once: a transaction, for instance. A nil
// one is not traced.
type Work struct {
	tried failures
	began time.Time
}

// Work returns what notes the work of one worker; nil if t is nil.
func (t *Tracer) Work() *Work {
	if t == nil {
		return nil
	}
	return &Work{}
}

// Begin notes that other work begins.
func (w *Work) Begin() {
	if w != nil {
		w.tried, w.began = failures{}, time.Now()
	}
}

// Failed notes that the work has failed, and will be tried again.
func (w *Work) Failed(err error) {
	if w != nil {
		w.tried.add(err)
	}
}

// Worked records in the trace of a message the work that was begun last, with err as its end.
// entries is how many messages it was for.
func (d *Delivery) Worked(name string, w *Work, entries int, err error) {
	if d == nil || w == nil {
		return
	}
	_, span := d.tracer.otel.Start(d.ctx, name, oteltrace.WithTimestamp(w.began), oteltrace.WithSpanKind(oteltrace.SpanKindClient))
	w.tried.record(span)
	span.SetAttributes(attribute.Int("ampipe.entries", entries))
	failed(span, err)
	span.End()
}

// Acknowledged is the answer to a message whose entry is committed.
const Acknowledged = "acknowledge"

// Answered ends the work on the message, with how it was answered.
func (d *Delivery) Answered(answer string) {
	if d == nil {
		return
	}
	d.span.SetAttributes(attribute.String("ampipe.answer", answer))
	if answer != Acknowledged {
		d.span.SetStatus(codes.Error, "it was not committed")
	}
	d.span.End()
}
