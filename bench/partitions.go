package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

// blocksOnly is the schema of a table whose rows cost next to nothing.
var blocksOnly = arrow.NewSchema([]arrow.Field{{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64}}, nil)

// numbers is a source in this process: one row a block, its number.
type numbers struct{ head block.Number }

var rangeAsked = regexp.MustCompile(`>= (\d+) AND q\._block_num < (\d+)`)

// Fetch answers the query for a range.
func (s numbers) Fetch(_ context.Context, query string) iter.Seq2[amp.Message, error] {
	return func(yield func(amp.Message, error) bool) {
		asked := rangeAsked.FindStringSubmatch(query)
		if asked == nil {
			yield(amp.Message{}, fmt.Errorf("not a query for a range: %s", query))
			return
		}
		from, _ := strconv.ParseUint(asked[1], 10, 64)
		to, _ := strconv.ParseUint(asked[2], 10, 64)
		b := array.NewUint64Builder(memory.DefaultAllocator)
		defer b.Release()
		for n := from; n < to; n++ {
			b.Append(n)
		}
		column := b.NewArray()
		defer column.Release()
		rec := array.NewRecordBatch(blocksOnly, []arrow.Array{column}, int64(column.Len()))
		defer rec.Release()
		yield(amp.Message{Record: rec, Metadata: amp.Metadata{
			Ranges: []amp.Range{{Network: "numbers", Numbers: block.Range{End: s.head}}}, Complete: true,
		}}, nil)
	}
}

// Follow is not asked for.
func (numbers) Follow(context.Context, string, amp.FollowOptions) iter.Seq2[amp.Event, error] {
	return func(yield func(amp.Event, error) bool) { yield(nil, errors.New("numbers have no live chain")) }
}

// cpu returns how much processor time this process has taken.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it cannot fail with these arguments
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// finishing counts partitions that have finished, and notes the processor time at marks.
type finishing struct {
	filled
	n     atomic.Int64
	every int64
	mu2   sync.Mutex
	cpu   []time.Duration
}

func (f *finishing) Published(state.Partition, entry.Header, int) {}

func (f *finishing) Finished(state.Partition) {
	if n := f.n.Add(1); n%f.every == 0 {
		f.mu2.Lock()
		f.cpu = append(f.cpu, cpu())
		fmt.Fprintln(os.Stderr, n, cpu())
		f.mu2.Unlock()
	}
}

func measurePartitions(ctx context.Context, e *env, r *report) (err error) {
	return loadPartitions(ctx, e, 2000)
}

func loadPartitions(ctx context.Context, e *env, n int) (err error) {
	query, err := sqlcheck.Parse("SELECT _block_num FROM numbers")
	if err != nil {
		return err
	}
	schema, err := entry.MarshalSchema(blocksOnly)
	if err != nil {
		return err
	}
	p := &config.Pipeline{Name: "numbers", Log: config.Log{MaxBytes: 4 << 30, Replay: time.Hour}, Sinks: []config.Sink{{Name: "store"}}}
	ns, err := e.startNATS(ctx, "", p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ns.close()) }()
	history := block.Range{End: block.Number(n)}
	spec := state.Spec{
		Epoch: 1, Query: query.Text(), BlockColumn: "_block_num", Schema: schema, Network: "numbers",
		History: history, MaxBlock: &history.End, Sinks: []string{"store"}, Planned: time.Now(),
	}
	if _, err := ns.state.SaveSpec(ctx, spec, 0); err != nil {
		return err
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	f := &finishing{every: int64(n) / 10}
	x := &extract.Extractor{
		Source: numbers{history.End}, Tasks: ns.tasks, Log: ns.log, State: ns.state,
		Spec: spec, Query: query, Schema: blocksOnly, Column: 0,
		Workers: workers, Codec: entry.S2, EntryBytes: 1 << 20, EntryLimit: ns.conn.EntryLimit(), Observer: f, Logger: zerolog.Nop(),
	}
	table := sink.Table{Pipeline: "numbers", Sink: "store", Schema: blocksOnly, BlockColumn: 0}
	w := (&memsink.Store{}).Writer()
	if err := w.Open(ctx, table); err != nil {
		return err
	}
	consumer, err := ns.log.Consume(ctx, "store", queue.ConsumeOptions{Lanes: queue.History})
	if err != nil {
		return err
	}
	defer consumer.Close()
	loop := &apply.Loop{Writer: w, Table: table, Source: consumer, Reports: ns.state, Logger: zerolog.Nop()}
	planner := &plan.Planner{State: ns.state, Tasks: ns.tasks, Log: ns.log, Config: p, Logger: zerolog.Nop()}
	var all sync.WaitGroup
	began := cpu()
	t0 := time.Now()
	all.Go(func() { err = errors.Join(err, x.Run(work)) })
	all.Go(func() { err = errors.Join(err, loop.Run(work)) })
	_, perr := planner.Run(work, spec, 1)
	took := cpu() - began
	fmt.Fprintln(os.Stderr, "N", n, "cpu", took, "per partition", took/time.Duration(n), "wall", time.Since(t0))
	stop()
	all.Wait()
	return errors.Join(err, perr)
}
