package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
	"github.com/ampipe/ampipe/pkg/trace/otlp/otlptest"
)

// tracedEnv runs the stages of a pipeline of two sinks in the test, as processes do that share
// nothing but NATS.
type tracedEnv struct {
	*stageEnv
	chain    *amptest.Chain
	pipeline *config.Pipeline
	memory   sink.Destination
	broken   atomic.Bool // the destination in memory fails until it has failed once
	log      journal
}

func newTracedEnv(t *testing.T, more string) *tracedEnv {
	e := &tracedEnv{stageEnv: newStageEnv(t), chain: amptest.NewChain(amptest.Network, amptest.Schema)}
	e.chain.Extend(amptest.Made(block.Range{End: 8}, 0)...)
	srv := amptest.Start(t, func(q amptest.Query) amptest.Answer {
		if q.Stream() {
			return e.chain.Answer(q)
		}
		return batch(e.chain, q.SQL)
	})
	store := &memsink.Store{}
	e.memory = sink.Custom("memory", func(struct{}) (sink.Writer, error) { return &brokenOnce{store.Writer(), &e.broken}, nil })
	pipelines, err := config.Parse(filepath.Join(t.TempDir(), "pipeline.yaml"), fmt.Appendf(nil, `
pipeline: traced
source: { amp: %q, query: "SELECT * FROM eth_rpc.blocks" }
nats: { url: "nats://%s" }
log: { max_bytes: 64MiB }
%s
sinks:
  - { name: store, custom: { kind: memory } }
  - { name: lake, delta: { path: ./lake, max_commit_delay: 100ms } }
`, srv.URL(), e.address, more), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	e.pipeline = pipelines[0]
	return e
}

// brokenOnce is a destination that cannot be reached at first.
type brokenOnce struct {
	sink.Writer
	broken *atomic.Bool
}

var errUnreachable = errors.New("the destination restarts")

func (b *brokenOnce) Apply(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	if b.broken.CompareAndSwap(true, false) {
		return sink.Applied{}, errUnreachable
	}
	return b.Writer.Apply(ctx, changes)
}

// start runs planner, extractor and both sinks until stop is called. loaded waits until the
// planner has ended.
func (e *tracedEnv) start(o pipeline.Options) (stop, loaded func()) {
	o.Destinations = append(allDestinations(), e.memory)
	o.Logger = zerolog.New(&e.log)
	ctx, cancel := context.WithCancel(context.Background())
	var stages, planner sync.WaitGroup
	stage := func(run func() error) {
		stages.Go(func() {
			err := run()
			if err != nil && !errors.Is(err, ops.ErrInterrupted) {
				e.Errorf("a stage ended with %v", err)
			}
		})
	}
	planner.Add(1)
	stage(func() error {
		defer planner.Done()
		return pipeline.RunPlanner(ctx, e.pipeline, o)
	})
	stage(func() error { return pipeline.RunExtractor(ctx, e.pipeline, o) })
	for _, s := range e.pipeline.Sinks {
		stage(func() error { return pipeline.RunSink(ctx, e.pipeline, s, o) })
	}
	return func() {
		cancel()
		stages.Wait()
	}, planner.Wait
}

// Of the chain of a [tracedEnv]: followed for ever, or to its end.
const (
	endless = "range: { reorg_buffer: 5, partition_size: 1 }\n"
	ending  = "range: { reorg_buffer: 5, partition_size: 1, max_block: 8 }\n"
)

// tree returns a trace as sorted lines of "names from the root down".
func tree(spans []otlptest.Span) []string {
	var lines []string
	for _, s := range spans {
		line := s.Name + " of " + s.Service
		for parent := s.Parent; parent != ""; {
			i := slices.IndexFunc(spans, func(p otlptest.Span) bool { return p.ID == parent })
			if i < 0 {
				line, parent = "unknown > "+line, ""
				continue
			}
			line, parent = spans[i].Name+" > "+line, spans[i].Parent
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// tracesOf returns the spans of each trace.
func tracesOf(spans []otlptest.Span) map[string][]otlptest.Span {
	all := map[string][]otlptest.Span{}
	for _, s := range spans {
		all[s.Trace] = append(all[s.Trace], s)
	}
	return all
}

// committed returns spans without those of sinks that have returned the entry to the log: it
// came again.
func committed(spans []otlptest.Span) []otlptest.Span {
	returned := map[string]bool{}
	for _, s := range spans {
		returned[s.ID] = strings.HasPrefix(s.Name, "sink ") && s.Attributes["ampipe.answer"] != "acknowledge"
	}
	return slices.DeleteFunc(spans, func(s otlptest.Span) bool { return returned[s.ID] || returned[s.Parent] })
}

// find returns the spans of the traces that are whole, of an entry of a kind and a first
// block: a number of sinks have committed it.
func find(spans []otlptest.Span, lane, kind string, first block.Number, sinks int) (found [][]otlptest.Span) {
	for _, trace := range tracesOf(committed(spans)) {
		is := slices.ContainsFunc(trace, func(s otlptest.Span) bool {
			return s.Name == "publish" && s.Attributes["ampipe.lane"] == lane && s.Attributes["ampipe.kind"] == kind &&
				s.Attributes["ampipe.first_block"] == fmt.Sprint(first)
		})
		done := 0
		for _, s := range trace {
			if strings.HasPrefix(s.Name, "sink ") {
				done++
			}
		}
		if is && done == sinks && slices.ContainsFunc(trace, func(s otlptest.Span) bool { return s.Name == "entry" }) {
			found = append(found, trace)
		}
	}
	return found
}

// published is what an extractor and the sinks do for the entries of a trace that were
// published, rows and marks (watermarks and invalidations) apart.
func published(rows, marks int) (want []string) {
	steps := map[string]int{"publish of ampipe-extractor": rows + marks, "read of ampipe-extractor": rows, "encode of ampipe-extractor": rows}
	for name, work := range map[string][]string{"store": {"transaction"}, "lake": {"stage", "commit"}} {
		at := "publish > sink " + name
		for _, step := range append(work, "in the log", "queued", "decode") {
			steps[at+" > "+step+" of ampipe-sink-"+name] = rows + marks
		}
		steps[at+" of ampipe-sink-"+name] = rows + marks
	}
	want = append(want, "entry of ampipe-extractor")
	for step, n := range steps {
		for range n {
			want = append(want, "entry > "+step)
		}
	}
	slices.Sort(want)
	return want
}

// TestTracesGoThroughAllProcesses: an entry of the history, a live block and a reorg are each
// one trace, from the extractor's reading to the commit of both sinks, which their processes
// send by themselves.
func TestTracesGoThroughAllProcesses(t *testing.T) {
	t.Parallel()
	collector := otlptest.Start(t)
	e := newTracedEnv(t, endless+fmt.Sprintf("traces: { endpoint: %q, sample: 1 }", collector.URL()))
	e.broken.Store(true)
	stop, _ := e.start(pipeline.Options{})
	defer stop()
	await := func(lane, kind string, first block.Number, sinks int) []otlptest.Span {
		t.Helper()
		spans := collector.Await(func(spans []otlptest.Span) bool { return len(find(spans, lane, kind, first, sinks)) == 1 })
		return find(spans, lane, kind, first, sinks)[0]
	}
	history := await("p.0.0", "data", 0, 2)
	e.chain.Extend(amptest.Made(block.Range{Start: 8, End: 9}, 0)...)
	live := await("live", "data", 8, 2)
	e.chain.Extend(amptest.Made(block.Range{Start: 7, End: 10}, 1)...)
	reorg := await("live", "invalidate", 7, 2)
	for name, c := range map[string]struct {
		got  []otlptest.Span
		want []string
	}{"history": {history, published(1, 0)}, "live": {live, published(1, 0)}, "reorg": {reorg, published(0, 1)}} {
		if got := tree(c.got); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nis\n  %s\nwant\n  %s", name, otlptest.Forest(c.got), strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
		}
	}
	t.Logf("%s\n%s", otlptest.Forest(history), otlptest.Forest(live))

	told := 0
	for _, s := range collector.Spans() {
		if s.Name == "transaction" && slices.Contains(s.Errors, errUnreachable.Error()) && s.Attributes["ampipe.tries"] == "2" && !s.Failed {
			told++
		}
		if s.End.Before(s.Start) {
			t.Errorf("%s ends before it begins", s.Name)
		}
	}
	if told == 0 {
		t.Error("no transaction tells of the failure of its first try")
	}
}

// TestTracesOfAReplay: for each entry that `ampipe replay` takes from the log the sink begins
// a trace, with a link to the span that published the entry in its own. What the log has not
// is read from Amp, and is a new entry without a link.
func TestTracesOfAReplay(t *testing.T) {
	t.Parallel()
	collector := otlptest.Start(t)
	e := newTracedEnv(t, endless+fmt.Sprintf("traces: { endpoint: %q, sample: 1 }", collector.URL()))
	stop, _ := e.start(pipeline.Options{})
	defer stop()
	originals := map[string]otlptest.Span{} // what published a block of the history
	for n := range block.Number(3) {
		lane := fmt.Sprintf("p.%d.0", n)
		spans := collector.Await(func(spans []otlptest.Span) bool { return len(find(spans, lane, "data", n, 2)) == 1 })
		trace := find(spans, lane, "data", n, 2)[0]
		originals[fmt.Sprint(n)] = trace[slices.IndexFunc(trace, func(s otlptest.Span) bool { return s.Name == "publish" })]
	}
	e.chain.Extend(amptest.Made(block.Range{Start: 8, End: 20}, 0)...)
	e.replay("store", "1:4") // the live lane begins at 3

	replays := func(spans []otlptest.Span) (roots []otlptest.Span) {
		for _, s := range spans {
			if s.Attributes["ampipe.replay"] == "true" {
				roots = append(roots, s)
			}
		}
		return roots
	}
	fromAmp := func(spans []otlptest.Span) (found [][]otlptest.Span) {
		for generation := range 3 {
			found = append(found, find(spans, fmt.Sprintf("p.3.%d", generation), "data", 3, 2)...)
		}
		return found
	}
	spans := collector.Spans()
	for limit, n := time.Now().Add(time.Minute), block.Number(20); len(replays(spans)) < 2 || len(fromAmp(spans)) == 0; <-time.After(300 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("there are\n%s", otlptest.Forest(spans))
		}
		e.chain.Extend(amptest.Made(block.Range{Start: n, End: n + 1}, 0)...) // so that the sink reports what it lacks
		n, spans = n+1, collector.Spans()
	}
	want := []string{
		"sink store > decode of ampipe-sink-store", "sink store > queued of ampipe-sink-store",
		"sink store > transaction of ampipe-sink-store", "sink store of ampipe-sink-store",
	}
	seen := map[string]bool{}
	for _, s := range replays(spans) {
		first := s.Attributes["ampipe.first_block"]
		original := originals[first]
		if seen[first] || (first != "1" && first != "2") || s.Trace == original.Trace || !slices.Equal(s.Links, []string{original.ID}) {
			t.Errorf("block %s was replayed in the trace %s, with links to %v; it was published by %s of the trace %s", first, s.Trace, s.Links, original.ID, original.Trace)
		}
		seen[first] = true
		if got := tree(tracesOf(spans)[s.Trace]); !slices.Equal(got, want) {
			t.Errorf("the replay of block %s is\n  %s\nwant\n  %s", first, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
	for _, s := range fromAmp(spans)[0] {
		if len(s.Links) > 0 || s.Attributes["ampipe.replay"] == "true" {
			t.Errorf("%s of a block that was read from Amp has links to %v", s.Name, s.Links)
		}
	}
}

// replay runs the command, again until no reorg may replace the blocks any more.
func (e *tracedEnv) replay(name, blocks string) {
	e.Helper()
	var said bytes.Buffer
	for limit := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
		err := pipeline.Replay(e.Context(), e.pipeline, pipeline.Options{Out: &said}, pipeline.ReplayOptions{Sink: name, Ranges: []string{blocks}})
		if err == nil {
			break
		}
		if time.Now().After(limit) || !strings.Contains(err.Error(), "may still be replaced by a reorg") {
			e.Fatal(err)
		}
	}
	if want := "2 from the log and 1 from Amp: [1, 4)"; !strings.Contains(said.String(), want) {
		e.Fatalf("%q is not in\n%s", want, &said)
	}
}

// TestTracesOfAProgram that has a provider of tracers: the configuration need not name a
// collector.
func TestTracesOfAProgram(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	e := newTracedEnv(t, ending)
	stop, loaded := e.start(pipeline.Options{Tracer: provider})
	loaded()
	stop()
	_, span := provider.Tracer("mine").Start(t.Context(), "mine")
	span.End() // it was not shut down
	for _, name := range []string{"entry", "publish", "sink store", "sink lake", "transaction", "commit", "mine"} {
		if !slices.ContainsFunc(spans.GetSpans(), func(s tracetest.SpanStub) bool { return s.Name == name }) {
			t.Errorf("there is no span %q", name)
		}
	}
}

// TestACollectorThatIsAwayHoldsNothingUp: everything is loaded, and the log says once that
// traces are lost.
func TestACollectorThatIsAwayHoldsNothingUp(t *testing.T) {
	t.Parallel()
	e := newTracedEnv(t, ending+`traces: { endpoint: "http://127.0.0.1:1", sample: 1 }`)
	stop, loaded := e.start(pipeline.Options{})
	loaded()
	stop()
	if n := strings.Count(e.log.tail(journalLines), "traces cannot be sent"); n == 0 || n > 3 {
		t.Errorf("three processes have said %d times that traces cannot be sent", n)
	}
}
