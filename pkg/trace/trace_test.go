package trace_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/trace"
)

// recorded returns a tracer and the spans that it has ended.
func recorded(t *testing.T, sampler sdktrace.Sampler) (*trace.Tracer, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	return trace.New(sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithSpanProcessor(spans)), "p"), spans
}

func group(kind entry.Kind, r block.Range) entry.Group {
	return entry.Group{{Header: entry.Header{Kind: kind, Range: r, Rows: 3}, Payload: make([]byte, 7)}}
}

// names returns spans as "name<parent", in the order of their ends.
func names(spans []sdktrace.ReadOnlySpan) (all []string) {
	for _, s := range spans {
		parent := "?"
		if !s.Parent().IsValid() {
			parent = "-"
		}
		for _, other := range spans {
			if other.SpanContext().SpanID() == s.Parent().SpanID() {
				parent = other.Name()
			}
		}
		all = append(all, s.Name()+"<"+parent)
	}
	return all
}

func named(t *testing.T, spans []sdktrace.ReadOnlySpan, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	i := slices.IndexFunc(spans, func(s sdktrace.ReadOnlySpan) bool { return s.Name() == name })
	if i < 0 {
		t.Fatalf("there is no span %q in %q", name, names(spans))
	}
	return spans[i]
}

func isInt(key string, value int64) func(attribute.KeyValue) bool {
	return func(a attribute.KeyValue) bool { return string(a.Key) == key && a.Value.AsInt64() == value }
}

// everything is what a process does for an entry, with or without a tracer.
func everything(ctx context.Context, t *trace.Tracer, l *trace.Lane, w *trace.Work, g entry.Group, fault error) string {
	l.Reads()
	l.Cuts()
	l.Cut()
	publishing, p := l.Publish(ctx, g)
	p.Waits(fault)
	p.End(nil)
	l.Failed(fault)
	l.End()
	parent := trace.Parent(publishing)
	d := t.Replaying().Receive(trace.Message{Parent: parent, Sink: "s", Lane: "live", Entry: g[0].Header, Bytes: 7})
	d.Decoded(d.Decodes(), nil)
	w.Begin()
	w.Failed(fault)
	d.Worked("transaction", w, 1, fault)
	d.Answered(trace.Acknowledged)
	return parent
}

// TestNothingIsDoneWithoutATracer: nothing is allocated, and no context changes.
func TestNothingIsDoneWithoutATracer(t *testing.T) {
	var tracer *trace.Tracer
	if trace.New(nil, "p") != nil || tracer.Lane("p.0", false) != nil || tracer.Work() != nil {
		t.Error("there is a tracer without a provider")
	}
	g, fault, parent := group(entry.Data, block.Range{End: 3}), errors.New("x"), ""
	allocated := testing.AllocsPerRun(100, func() { parent = everything(t.Context(), nil, nil, nil, g, fault) })
	if allocated != 0 || parent != "" {
		t.Errorf("%v allocations, and the entry is of trace %q", allocated, parent)
	}
	// A sink that traces, and an entry that is not of a trace.
	on, spans := recorded(t, sdktrace.AlwaysSample())
	allocated = testing.AllocsPerRun(100, func() {
		if on.Receive(trace.Message{Sink: "s", Entry: g[0].Header}) != nil {
			t.Error("it is traced")
		}
	})
	if allocated != 0 || len(spans.Ended()) != 0 {
		t.Errorf("%v allocations, and spans %q", allocated, names(spans.Ended()))
	}
}

// BenchmarkOff is what tracing costs for an entry when there is none.
func BenchmarkOff(b *testing.B) {
	g, fault := group(entry.Data, block.Range{End: 3}), errors.New("x")
	b.ReportAllocs()
	for b.Loop() {
		everything(b.Context(), nil, nil, nil, g, fault)
	}
}

// TestAnUnsampledEntryHasNoHeader, so that no sink begins anything for it.
func TestAnUnsampledEntryHasNoHeader(t *testing.T) {
	tracer, spans := recorded(t, sdktrace.NeverSample())
	g := group(entry.Data, block.Range{End: 3})
	for _, live := range []bool{false, true} {
		l := tracer.Lane("lane", live)
		if parent := everything(t.Context(), tracer, l, tracer.Work(), g, errors.New("x")); parent != "" || len(spans.Ended()) != 0 {
			t.Errorf("the entry is of trace %q, with spans %q", parent, names(spans.Ended()))
		}
	}
	forged := "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-00"
	for _, parent := range []string{forged, "00-xyz", strings.Repeat("x", 1000)} {
		if tracer.Receive(trace.Message{Parent: parent}) != nil {
			t.Errorf("%.60q is traced", parent)
		}
	}
}

// TestAPartitionsEntry is read at the second try, and waits for room in the log.
func TestAPartitionsEntry(t *testing.T) {
	tracer, spans := recorded(t, sdktrace.AlwaysSample())
	l := tracer.Lane("p.0.0", false)
	l.Reads()
	l.Failed(errors.New("broken off"))
	l.Reads()
	l.Cuts()
	l.Cut()
	ctx, p := l.Publish(t.Context(), group(entry.Data, block.Range{Start: 5, End: 9}))
	p.Waits(errors.New("the log is full"))
	p.End(nil)
	ended := spans.Ended()
	if got, want := names(ended), []string{"read<entry", "encode<entry", "publish<entry", "entry<-"}; !slices.Equal(got, want) {
		t.Fatalf("spans %q, want %q", got, want)
	}
	read, publish := named(t, ended, "read"), named(t, ended, "publish")
	for _, s := range []sdktrace.ReadOnlySpan{read, publish} {
		if len(s.Events()) != 1 || !slices.ContainsFunc(s.Attributes(), isInt("ampipe.tries", 2)) {
			t.Errorf("%s was tried once: %v %v", s.Name(), s.Attributes(), s.Events())
		}
	}
	for key, want := range map[string]int64{"first_block": 5, "last_block": 8, "rows": 3, "bytes": 7} {
		if !slices.ContainsFunc(publish.Attributes(), isInt("ampipe."+key, want)) {
			t.Errorf("%s is not %d: %v", key, want, publish.Attributes())
		}
	}
	if want := publish.SpanContext().SpanID().String(); !strings.Contains(trace.Parent(ctx), "-"+want+"-01") {
		t.Errorf("the header is %q, want that of span %s", trace.Parent(ctx), want)
	}
	// What was noted is not of the next entry.
	l.Reads()
	l.Cuts()
	l.Cut()
	_, p = l.Publish(t.Context(), group(entry.Data, block.Range{Start: 9, End: 10}))
	p.End(errors.New("fenced"))
	ended = spans.Ended()[len(ended):]
	if read = named(t, ended, "read"); len(read.Events()) != 0 || named(t, ended, "entry").Status().Code != codes.Error {
		t.Errorf("the next entry has %v and ends as %v", read.Events(), named(t, ended, "entry").Status())
	}
}

// TestLiveBlocksAreOneTrace up to their watermark, or until they leave the chain.
func TestLiveBlocksAreOneTrace(t *testing.T) {
	tracer, spans := recorded(t, sdktrace.AlwaysSample())
	l := tracer.Lane("live", true)
	publish := func(kind entry.Kind) string {
		l.Cuts()
		l.Cut()
		ctx, p := l.Publish(t.Context(), group(kind, block.Range{Start: 5, End: 6}))
		p.End(nil)
		return trace.Parent(ctx)[:35] // the version and the trace
	}
	first, more, mark := publish(entry.Data), publish(entry.Data), publish(entry.Watermark)
	undone, invalid, next := publish(entry.Data), publish(entry.Invalidate), publish(entry.Data)
	if first != more || first != mark || undone == first || invalid == undone || next == invalid {
		t.Error(first, more, mark, undone, invalid, next)
	}
	l.End()
	l.End()
	var whole []string
	for _, s := range spans.Ended() {
		if s.Name() == "entry" {
			whole = append(whole, s.Status().Code.String())
		}
	}
	if want := []string{"Unset", "Error", "Unset", "Error"}; !slices.Equal(whole, want) {
		t.Errorf("the traces end as %q, want %q", whole, want)
	}
}

// TestWhatComesAgainLinksToTheOriginal: a redelivery is of the same trace, a replay of a trace
// of its own.
func TestWhatComesAgainLinksToTheOriginal(t *testing.T) {
	tracer, spans := recorded(t, sdktrace.AlwaysSample())
	ctx, p := tracer.Lane("p.0.0", false).Publish(t.Context(), group(entry.Watermark, block.Range{End: 1}))
	p.End(nil)
	original := named(t, spans.Ended(), "publish").SpanContext()
	for _, c := range []struct {
		name      string
		tracer    *trace.Tracer
		delivered int
		links     int
		same      bool
		steps     []string
	}{
		{"the first time", tracer, 1, 0, true, []string{"in the log<sink s", "queued<sink s", "decode<sink s", "transaction<sink s", "sink s<?"}},
		{"a redelivery", tracer, 2, 1, true, []string{"queued<sink s", "decode<sink s", "transaction<sink s", "sink s<?"}},
		{"a replay", tracer.Replaying(), 1, 1, false, []string{"queued<sink s", "decode<sink s", "transaction<sink s", "sink s<-"}},
	} {
		before := len(spans.Ended())
		d := c.tracer.Receive(trace.Message{
			Parent: trace.Parent(ctx), Sink: "s", Lane: "p.0.0", Delivered: c.delivered, Stored: time.Now().Add(-time.Hour),
		})
		w := tracer.Work()
		d.Decoded(d.Decodes(), nil)
		w.Begin()
		w.Failed(errors.New("the database restarts"))
		d.Worked("transaction", w, 4, nil)
		d.Answered("return")
		ended := spans.Ended()[before:]
		s := named(t, ended, "sink s")
		if got := names(ended); !slices.Equal(got, c.steps) || (s.SpanContext().TraceID() == original.TraceID()) != c.same {
			t.Errorf("%s: spans %q, want %q", c.name, got, c.steps)
		}
		if len(s.Links()) != c.links || (c.links == 1 && s.Links()[0].SpanContext.SpanID() != original.SpanID()) {
			t.Errorf("%s: links %v", c.name, s.Links())
		}
		work := named(t, ended, "transaction")
		if s.Status().Code != codes.Error || len(work.Events()) != 1 || !slices.ContainsFunc(work.Attributes(), isInt("ampipe.tries", 2)) {
			t.Errorf("%s: it ends as %v, with %v %v", c.name, s.Status(), work.Attributes(), work.Events())
		}
	}
}
