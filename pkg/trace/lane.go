package trace

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/ampipe/ampipe/pkg/entry"
)

// Lane notes how the next entry of a lane is made, until it is published: only then it is
// known which blocks it has, and only then it is decided whether it is traced. One goroutine
// uses it at a time.
//
// In a partition's lane each published group is a trace; groups that are cut from the same
// rows have the same reading. In the live lane a trace has the blocks up to their watermark.
type Lane struct {
	tracer *Tracer
	name   string
	live   bool

	reading time.Time // since when the rows are read; zero: they are not
	cutting time.Time // since when they are cut and encoded
	encoded time.Time // when that was done
	done    bool      // what was noted is published
	tried   failures  // of the reading

	root context.Context // with the span of the live blocks that are arriving; nil: there is none
}

// Lane returns what notes the making of a lane's entries; nil if t is nil.
func (t *Tracer) Lane(name string, live bool) *Lane {
	if t == nil {
		return nil
	}
	return &Lane{tracer: t, name: name, live: live}
}

// Reads notes that rows are waited for.
func (l *Lane) Reads() {
	if l == nil || (!l.reading.IsZero() && !l.done) {
		return
	}
	l.reading, l.done, l.tried = time.Now(), false, failures{}
}

// Failed notes that reading has failed, and will be tried again.
func (l *Lane) Failed(err error) {
	if l != nil {
		l.tried.add(err)
	}
}

// Cuts notes that rows have come, which are cut into entries now.
func (l *Lane) Cuts() {
	if l == nil {
		return
	}
	l.Reads()
	l.cutting = time.Now()
}

// Cut notes that the entries are cut.
func (l *Lane) Cut() {
	if l != nil {
		l.encoded = time.Now()
	}
}

// Publication is a group of entries on its way into the log. A nil one is not traced.
type Publication struct {
	lane  *Lane
	root  context.Context
	span  oteltrace.Span
	tried failures
	open  bool // the group is rows of live blocks that another entry will close
}

// Publish notes that a group is published, under the context that it returns.
func (l *Lane) Publish(ctx context.Context, group entry.Group) (context.Context, *Publication) {
	if l == nil {
		return ctx, nil
	}
	now, h := time.Now(), group[0].Header
	begin := now // nothing is read for an entry without rows
	if h.Kind == entry.Data {
		begin = l.reading
	}
	if h.Kind == entry.Invalidate {
		l.End()
	}
	root, begun := l.root, l.root != nil
	if !begun {
		root, _ = l.tracer.otel.Start(context.Background(), "entry", oteltrace.WithNewRoot(), oteltrace.WithTimestamp(begin))
	}
	if l.live {
		l.root = root
	}
	p := &Publication{lane: l, root: root, open: l.live && h.Kind == entry.Data && !h.Complete}
	whole := oteltrace.SpanFromContext(root)
	if !whole.IsRecording() {
		return ctx, p
	}
	if !begun {
		l.describe(whole, group)
	}
	if h.Kind == entry.Data {
		l.steps(root)
	}
	var span context.Context
	span, p.span = l.tracer.otel.Start(root, "publish", oteltrace.WithSpanKind(oteltrace.SpanKindProducer))
	l.describe(p.span, group)
	return withParent(ctx, span), p
}

// describe adds what a group is to a span.
func (l *Lane) describe(span oteltrace.Span, group entry.Group) {
	rows, bytes := 0, 0
	for _, e := range group {
		rows += e.Rows
		bytes += len(e.Payload)
	}
	l.tracer.describe(span, l.name, group[0].Header, rows, bytes)
	if len(group) > 1 {
		span.SetAttributes(attribute.Int("ampipe.parts", len(group)))
	}
}

// steps records how the rows were read and cut.
func (l *Lane) steps(root context.Context) {
	_, read := l.tracer.otel.Start(root, "read", oteltrace.WithTimestamp(l.reading), oteltrace.WithSpanKind(oteltrace.SpanKindClient))
	l.tried.record(read)
	read.End(oteltrace.WithTimestamp(l.cutting))
	l.tracer.step(root, "encode", l.cutting, l.encoded, nil)
}

// Waits notes that publishing has to be tried again, and why.
func (p *Publication) Waits(reason error) {
	if p != nil && p.span != nil {
		p.tried.add(reason)
	}
}

// End notes that the group is in the log or, with an error, that it is not.
func (p *Publication) End(err error) {
	if p == nil {
		return
	}
	p.lane.done = true
	if p.span != nil {
		p.tried.record(p.span)
		failed(p.span, err)
		p.span.End()
	}
	whole := oteltrace.SpanFromContext(p.root)
	if err != nil {
		whole.SetStatus(codes.Error, err.Error())
	}
	if p.open && err == nil {
		return // what closes them is of the same trace
	}
	whole.End()
	p.lane.root = nil
}

// errUnfinished is the error of live blocks whose watermark has not come.
var errUnfinished = errors.New("the blocks were not completed: they left the chain, or the lane is another process's now")

// End ends the trace of live blocks that will not be completed.
func (l *Lane) End() {
	if l == nil || l.root == nil {
		return
	}
	whole := oteltrace.SpanFromContext(l.root)
	failed(whole, errUnfinished)
	whole.End()
	l.root = nil
}
