package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
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

// numbers is a table in this process whose rows cost next to nothing: of each block one row,
// its number. What a load of it costs is the cost of its partitions.
type numbers struct{ blocks block.Number }

const (
	numbersName  = "numbers"
	numbersStore = "store"
)

var numbersSchema = arrow.NewSchema([]arrow.Field{{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64}}, nil)

var askedRange = regexp.MustCompile(`>= (\d+) AND q\._block_num < (\d+)`)

// Fetch implements [extract.Source].
func (t numbers) Fetch(_ context.Context, query string) iter.Seq2[amp.Message, error] {
	return func(yield func(amp.Message, error) bool) {
		asked := askedRange.FindStringSubmatch(query)
		if asked == nil {
			yield(amp.Message{}, fmt.Errorf("not a query for a range: %s", query))
			return
		}
		from, fromErr := strconv.ParseUint(asked[1], 10, 64)
		to, toErr := strconv.ParseUint(asked[2], 10, 64)
		if err := errors.Join(fromErr, toErr); err != nil {
			yield(amp.Message{}, err)
			return
		}
		b := array.NewUint64Builder(memory.DefaultAllocator)
		defer b.Release()
		for n := from; n < to; n++ {
			b.Append(n)
		}
		column := b.NewArray()
		defer column.Release()
		rec := array.NewRecordBatch(numbersSchema, []arrow.Array{column}, int64(column.Len()))
		defer rec.Release()
		has := amp.Range{Network: numbersName, Numbers: block.Range{End: t.blocks}}
		yield(amp.Message{Record: rec, Metadata: amp.Metadata{Ranges: []amp.Range{has}, Complete: true}}, nil)
	}
}

// Follow implements [extract.Source].
func (numbers) Follow(context.Context, string, amp.FollowOptions) iter.Seq2[amp.Event, error] {
	return func(yield func(amp.Event, error) bool) { yield(nil, errors.New("numbers have no live chain")) }
}

// config returns the pipeline that loads them.
func (numbers) config() *config.Pipeline {
	return &config.Pipeline{
		Name: numbersName, Log: config.Log{MaxBytes: 4 << 30, Replay: time.Hour}, Sinks: []config.Sink{{Name: numbersStore}},
	}
}

// spec returns the plan of the pipeline.
func (t numbers) spec() (state.Spec, *sqlcheck.Query, error) {
	query, err := sqlcheck.Parse("SELECT _block_num FROM " + numbersName)
	if err != nil {
		return state.Spec{}, nil, err
	}
	schema, err := entry.MarshalSchema(numbersSchema)
	return state.Spec{
		Epoch: 1, Query: query.Text(), BlockColumn: "_block_num", Schema: schema, Network: numbersName,
		History: block.Range{End: t.blocks}, MaxBlock: &t.blocks, Sinks: []string{numbersStore}, Planned: time.Now(),
	}, query, err
}

func (t numbers) planner(n *natsServer) *plan.Planner {
	return &plan.Planner{State: n.state, Tasks: n.tasks, Log: n.log, Config: t.config(), Logger: zerolog.Nop()}
}

// load loads all blocks, each a partition of its own, into a store in memory: it plans,
// extracts and applies in this process. finished, if not nil, is called with how many
// partitions are done, by several workers.
func (t numbers) load(ctx context.Context, n *natsServer, finished func(int64)) error {
	spec, query, err := t.spec()
	if err != nil {
		return err
	}
	if _, err := n.state.SaveSpec(ctx, spec, 0); err != nil {
		return err
	}
	table := sink.Table{Pipeline: numbersName, Sink: numbersStore, Schema: numbersSchema}
	writer := (&memsink.Store{}).Writer()
	if err := writer.Open(ctx, table); err != nil {
		return err
	}
	consumer, err := n.log.Consume(ctx, numbersStore, queue.ConsumeOptions{Lanes: queue.History})
	if err != nil {
		return err
	}
	defer consumer.Close()
	extractor := &extract.Extractor{
		Source: t, Tasks: n.tasks, Log: n.log, State: n.state, Spec: spec, Query: query, Schema: numbersSchema,
		Workers: workers, Codec: entry.S2, EntryBytes: 1 << 20, EntryLimit: n.conn.EntryLimit(),
		Observer: &finishing{call: finished}, Logger: zerolog.Nop(),
	}
	loop := &apply.Loop{Writer: writer, Table: table, Source: consumer, Reports: n.state, Logger: zerolog.Nop()}
	work, stop := context.WithCancel(ctx)
	defer stop()
	var extractErr, applyErr error
	var running sync.WaitGroup
	running.Go(func() { extractErr = extractor.Run(work) })
	running.Go(func() { applyErr = loop.Run(work) })
	_, planErr := t.planner(n).Run(work, spec, 1)
	stop()
	running.Wait()
	return errors.Join(planErr, extractErr, applyErr)
}

// finishing counts partitions that are done.
type finishing struct {
	filled
	n    atomic.Int64
	call func(int64)
}

// Published implements [extract.Observer].
func (f *finishing) Published(state.Partition, entry.Header, int) {}

// Finished implements [extract.Observer].
func (f *finishing) Finished(state.Partition) {
	n := f.n.Add(1)
	if f.call != nil {
		f.call(n)
	}
}
