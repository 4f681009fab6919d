package sinktest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
)

// mutant is a destination with one mistake.
type mutant struct {
	name  string
	setup Setup
	take  func(*sink.CommitState, sink.Change, int) (sink.Step, error) // broken rules
	undo  func([]block.Number, block.Range) []block.Number             // broken, too
	wrap  func(sink.Writer) sink.Writer                                // a broken writer
}

var (
	appends = Setup{Mode: config.Append}
	upserts = Setup{Mode: config.Upsert, Key: []string{"key"}}
)

// unpruned forgets, for changes of a kind, what was pruned.
func unpruned(of func(*sink.CommitState, sink.Change) bool) func(*sink.CommitState, sink.Change, int) (sink.Step, error) {
	return func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		pruned := l.Pruned
		if of(l, c) {
			l.Pruned = 0
		}
		step, err := l.Take(c, column)
		l.Pruned = pruned
		return step, err
	}
}

// mutants are mistakes that are easily made.
var mutants = []mutant{
	{name: "ignores coverage", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		covered := l.Coverage.Clone()
		l.Coverage = block.Set{}
		step, err := l.Take(c, column)
		l.Coverage.AddAll(covered)
		return step, err
	}},
	{name: "commits rows without coverage", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		step, err := l.Clone().Take(c, column)
		return step, err
	}},
	{name: "commits coverage without rows", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		step, err := l.Take(c, column)
		step.Write = nil
		return step, err
	}},
	{name: "skips an entry that overlaps", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		for n := c.Range.Start; c.Range.Len() < 1000 && n < c.Range.End; n++ {
			if !c.Live && l.Coverage.Has(n) {
				return sink.Step{}, nil
			}
		}
		return l.Take(c, column)
	}},
	{name: "does not cover blocks without rows", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		if c.Rows == 0 && c.Whole() && c.Kind == entry.Data {
			return sink.Step{}, nil
		}
		return l.Take(c, column)
	}},
	{name: "takes the first part for the block", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		c.Parts, c.Part, c.Batch = 0, 0, ""
		return l.Take(c, column)
	}},
	{name: "forgets which parts it has", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		step, err := l.Take(c, column)
		if have, ok := l.Partial[c.Range.Start]; ok && !c.Whole() && len(have.Have) > 1 {
			have.Have = have.Have[1:]
			l.Partial[c.Range.Start] = have
		}
		return step, err
	}},
	{name: "mixes two batches", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		if have, ok := l.Partial[c.Range.Start]; ok && !c.Whole() {
			c.Batch, c.Parts = have.Batch, have.Parts
			c.Part = min(c.Part, have.Parts-1)
		}
		return l.Take(c, column)
	}},
	{name: "keeps the rows of a batch that was replaced", take: withoutDeletes(func(c sink.Change) bool { return !c.Whole() })},
	{name: "keeps the parts of a block that came whole", take: withoutDeletes(func(c sink.Change) bool { return c.Whole() && !c.Live })},
	{name: "keeps history above the live start", take: withoutDeletes(func(c sink.Change) bool { return c.Live && c.Kind == entry.Data })},
	{name: "keeps the rows of a reorg", take: withoutDeletes(func(c sink.Change) bool { return c.Kind == entry.Invalidate })},
	{name: "keeps the coverage of a reorg", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		covered := l.Coverage.Clone()
		step, err := l.Take(c, column)
		if c.Kind == entry.Invalidate {
			l.Coverage = covered
		}
		return step, err
	}},
	{name: "keeps the parts of a reorg", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		partial := l.Clone().Partial
		step, err := l.Take(c, column)
		if c.Kind == entry.Invalidate {
			l.Partial = partial
		}
		return step, err
	}},
	{name: "keeps the live start in a deep reorg", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		live := l.Live
		step, err := l.Take(c, column)
		if live.Started {
			l.Live.Start = live.Start
		}
		return step, err
	}},
	{name: "takes pruned blocks back in a reorg", take: unpruned(func(_ *sink.CommitState, c sink.Change) bool { return c.Kind == entry.Invalidate && c.Rejoin == nil })},
	{name: "takes pruned blocks back when it rejoins", take: unpruned(func(_ *sink.CommitState, c sink.Change) bool { return c.Rejoin != nil })},
	{name: "takes pruned blocks back in a new epoch", take: unpruned(func(l *sink.CommitState, c sink.Change) bool {
		return c.Live && c.Rejoin == nil && l.Live.Started && c.Epoch > l.Live.Epoch
	})},
	{name: "removes pruned blocks", take: unpruned(func(_ *sink.CommitState, c sink.Change) bool { return c.Kind == sink.Remove })},
	{name: "keeps the cursor in a reorg", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		live := l.Live
		step, err := l.Take(c, column)
		if c.Kind == entry.Invalidate {
			l.Live.Cursor = live.Cursor
		}
		return step, err
	}},
	{name: "ignores the live start", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		live := l.Live
		if !c.Live {
			l.Live = sink.LiveState{}
		}
		step, err := l.Take(c, column)
		if !c.Live {
			l.Live = live
		}
		return step, err
	}},
	{name: "ignores the hash that an epoch begins after", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		if c.Epoch > l.Live.Epoch && l.Live.Started && c.Range.Start == l.Live.After() {
			c.Prev = l.Live.Cursor.Hash
		}
		return l.Take(c, column)
	}},
	{name: "distrusts every epoch that begins below the cursor", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		if c.Live && l.Live.Started && c.Epoch > l.Live.Epoch && c.Range.Start < l.Live.After() {
			l.Live.Cursor = block.Cursor{}
		}
		return l.Take(c, column)
	}},
	{name: "ignores After", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		if c.Live && c.Seq > l.Live.Seq && c.Epoch == l.Live.Epoch {
			c.After = l.Live.Seq
		}
		return l.Take(c, column)
	}},
	{name: "takes a repeated live entry for a gap", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		if c.Live && l.Live.Started && c.Epoch == l.Live.Epoch && c.Seq <= l.Live.Seq {
			return sink.Step{}, sink.ErrGap
		}
		return l.Take(c, column)
	}},
	{name: "undoes a reorg that comes again", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		live := l.Live
		if c.Kind == entry.Invalidate && live.Started && c.Seq <= live.Seq {
			l.Live.Seq, l.Live.Epoch = c.After, c.Epoch
			step, err := l.Take(c, column)
			l.Live = live
			return step, err
		}
		return l.Take(c, column)
	}},
	{name: "keeps the rows of removed blocks", take: withoutDeletes(func(c sink.Change) bool { return c.Kind == sink.Remove })},
	{name: "keeps the coverage of removed blocks", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		covered := l.Coverage.Clone()
		step, err := l.Take(c, column)
		if c.Kind == sink.Remove {
			l.Coverage = covered
		}
		return step, err
	}},
	{name: "keeps the parts of removed blocks", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		partial := l.Clone().Partial
		step, err := l.Take(c, column)
		if c.Kind == sink.Remove {
			l.Partial = partial
		}
		return step, err
	}},
	{name: "removes everything above the range", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		step, err := l.Take(c, column)
		if c.Kind == sink.Remove {
			above := block.Range{Start: c.Range.Start, End: block.Max + 1}
			l.Coverage.Remove(above)
			step.Delete = []block.Range{above}
		}
		return step, err
	}},
	{name: "keeps the live start when live blocks are removed", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		live := l.Live
		step, err := l.Take(c, column)
		if c.Kind == sink.Remove {
			l.Live = live
		}
		return step, err
	}},
	{name: "removes blocks that are not confirmed", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		live := l.Live
		if c.Kind == sink.Remove && live.Started {
			l.Live.Cursor = block.Cursor{Network: "n", Number: block.Max}
		}
		step, err := l.Take(c, column)
		if c.Kind == sink.Remove && live.Started {
			l.Live.Cursor = live.Cursor
		}
		return step, err
	}},
	{name: "takes a removal for a reorg", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		step, err := l.Take(c, column)
		if c.Kind == sink.Remove && l.Live.Started && l.Live.Cursor.Number >= c.Range.Start {
			l.Live.Cursor.Number = c.Range.Start - 1
		}
		return step, err
	}},
	{name: "keeps the rows that a rejoining rolls back", take: withoutDeletes(func(c sink.Change) bool { return c.Rejoin != nil })},
	{name: "keeps the coverage that a rejoining rolls back", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		covered := l.Coverage.Clone()
		step, err := l.Take(c, column)
		if c.Rejoin != nil {
			l.Coverage = covered
		}
		return step, err
	}},
	{name: "keeps parts when it rejoins", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		partial := l.Clone().Partial
		step, err := l.Take(c, column)
		if c.Rejoin != nil {
			l.Partial = partial
		}
		return step, err
	}},
	{name: "rejoins from anywhere", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		if c.Rejoin != nil && c.Rejoin.To != l.Live {
			l.Live = c.Rejoin.From
		}
		return l.Take(c, column)
	}},
	{name: "rejoins from where the sequence is the same", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		if c.Rejoin != nil && c.Rejoin.From.Seq == l.Live.Seq {
			l.Live = c.Rejoin.From
		}
		return l.Take(c, column)
	}},
	{name: "takes a rejoining for a reorg", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		start := l.Live.Start
		step, err := l.Take(c, column)
		if c.Rejoin != nil && l.Live == c.Rejoin.To {
			l.Live.Start = min(start, c.Range.Start)
		}
		return step, err
	}},
	{name: "moves the cursor with data", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		step, err := l.Take(c, column)
		if c.Live && c.Kind == entry.Data {
			l.Live.Cursor = block.Cursor{Network: c.Network, Number: c.Range.Last()}
		}
		return step, err
	}},
	{name: "leaves the cursor where rows close their range", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		c.Complete = false
		return l.Take(c, column)
	}},
	{name: "covers a block too many", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		step, err := l.Take(c, column)
		if err == nil && c.Kind == entry.Data && c.Whole() && c.Range.End < block.Max {
			l.Coverage.Add(block.Closed(c.Range.End, c.Range.End))
		}
		return step, err
	}},
	{name: "loses the row at the end of a cut", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		step, err := l.Take(c, column)
		for i, run := range step.Write {
			if run.To < int(run.Record.NumRows()) {
				step.Write[i].To = max(run.From, run.To-1)
			}
		}
		return step, err
	}},
	{name: "takes the row's place from the cut", take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		step, err := l.Take(c, column)
		for i := range step.Write {
			step.Write[i].Entry = 0
		}
		return step, err
	}},
	{name: "lets the later write win", setup: upserts, take: func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		step, err := l.Take(c, column)
		step.Delete = append(step.Delete, block.Range{Start: c.Range.End, End: block.Max})
		return step, err
	}},
	{name: "forgets what a void row had replaced", setup: upserts, undo: func(blocks []block.Number, gone block.Range) []block.Number {
		if gone.Has(blocks[len(blocks)-1]) {
			return nil
		}
		return remaining(blocks, gone)
	}},
	{name: "brings back the oldest row", setup: upserts, undo: func(blocks []block.Number, gone block.Range) []block.Number {
		left := remaining(blocks, gone)
		if gone.Has(blocks[len(blocks)-1]) {
			return left[:min(1, len(left))]
		}
		return left
	}},
	{name: "brings back a void row", setup: upserts, undo: func(blocks []block.Number, gone block.Range) []block.Number {
		if len(blocks) > 1 && gone.Has(blocks[len(blocks)-1]) {
			return blocks[:len(blocks)-1]
		}
		return remaining(blocks, gone)
	}},
	{name: "keeps void rows that do not show", setup: upserts, undo: func(blocks []block.Number, gone block.Range) []block.Number {
		if gone.Has(blocks[len(blocks)-1]) {
			return remaining(blocks, gone)
		}
		return blocks
	}},
	{name: "keeps only the row before", setup: upserts, undo: func(blocks []block.Number, gone block.Range) []block.Number {
		return remaining(blocks[max(0, len(blocks)-2):], gone)
	}},
	{name: "commits each change by itself", wrap: func(w sink.Writer) sink.Writer { return oneByOne{w} }},
	{name: "commits although it was cancelled", wrap: func(w sink.Writer) sink.Writer { return deaf{w} }},
	{name: "keeps the records", wrap: func(w sink.Writer) sink.Writer { return &keeper{Writer: w} }},
	{name: "answers with a state that has grown old", wrap: func(w sink.Writer) sink.Writer { return &stale{Writer: w} }},
}

func withoutDeletes(when func(sink.Change) bool) func(*sink.CommitState, sink.Change, int) (sink.Step, error) {
	return func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error) {
		step, err := l.Take(c, column)
		if when(c) {
			step.Delete = nil
		}
		return step, err
	}
}

func remaining(blocks []block.Number, gone block.Range) []block.Number {
	return slices.DeleteFunc(slices.Clone(blocks), gone.Has)
}

// oneByOne is not atomic.
type oneByOne struct{ sink.Writer }

func (w oneByOne) Apply(ctx context.Context, changes []sink.Change) (all sink.Applied, err error) {
	for i := range changes {
		one, err := w.Writer.Apply(ctx, changes[i:i+1])
		if err != nil {
			return all, err
		}
		all.Rows, all.Skipped, all.Deleted = all.Rows+one.Rows, all.Skipped+one.Skipped, all.Deleted+one.Deleted
	}
	return all, nil
}

// deaf answers a cancellation with an error, and commits all the same.
type deaf struct{ sink.Writer }

func (w deaf) Apply(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	applied, err := w.Writer.Apply(context.WithoutCancel(ctx), changes)
	return applied, errors.Join(err, ctx.Err())
}

// keeper retains what it has borrowed.
type keeper struct {
	sink.Writer
	mu   sync.Mutex
	kept []sink.Change
}

func (w *keeper) Apply(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range changes {
		for _, rec := range c.Records {
			rec.Retain()
		}
		w.kept = append(w.kept, c)
	}
	return w.Writer.Apply(ctx, changes)
}

// stale answers State from what it read first.
type stale struct {
	sink.Writer
	once  sync.Once
	state sink.State
	err   error
}

func (w *stale) State(ctx context.Context) (sink.State, error) {
	w.once.Do(func() { w.state, w.err = w.Writer.State(ctx) })
	return w.state, w.err
}

// mutated is a destination in memory with a mistake.
type mutated struct {
	*memsink.Store
	wrap func(sink.Writer) sink.Writer
}

func (m mutated) Writer(testing.TB) sink.Writer {
	if m.wrap == nil {
		return m.Store.Writer()
	}
	return m.wrap(m.Store.Writer())
}

func (m mutated) Rows(context.Context) ([]Row, error) {
	var rows []Row
	for _, r := range m.Store.Rows() {
		rows = append(rows, Row{Key: r.Values[0].(string), Block: r.Block, Index: r.Values[2].(int32), Value: r.Values[3].(int64)})
	}
	return rows, nil
}

func (m mutated) Refused() (Row, string) { return Row{Key: "refused"}, "key" }

func (m mutant) open(_ testing.TB, s Setup) Destination {
	store := &memsink.Store{Key: s.Key, Take: m.take, Undo: m.undo}
	store.Faults.Row = func(r memsink.Row) error {
		if r.Values[0] == "refused" {
			return &sink.BadRowError{Column: "key", Reason: "the test refuses it"}
		}
		return nil
	}
	return mutated{store, m.wrap}
}

// TestSuiteNotices shows that the suite has teeth: it passes the destination in
// memory as it is, and fails each that has a mistake.
func TestSuiteNotices(t *testing.T) {
	t.Parallel()
	all := append([]mutant{{name: "none", setup: appends}, {name: "none", setup: upserts}}, mutants...)
	for _, m := range all {
		if m.setup.Mode == "" {
			m.setup = appends
		}
		name := fmt.Sprintf("%s/%s", m.setup.Mode, m.name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := m.failure(t)
			switch {
			case m.name == "none" && failed != "":
				t.Errorf("a destination without a mistake fails %q", failed)
			case m.name != "none" && failed == "":
				t.Error("no case notices the mistake")
			default:
				t.Logf("noticed by %q", failed)
			}
		})
	}
}

// failure runs the cases of the mutant's setup and names the first that fails.
func (m mutant) failure(t *testing.T) string {
	for _, s := range suites {
		if s.setup.Mode != m.setup.Mode || len(s.setup.Key) != len(m.setup.Key) {
			continue
		}
		for _, c := range s.cases {
			if c.name == "many rows in one call" {
				continue // the same as others, only slower
			}
			r := &recorder{TB: t}
			r.ctx, r.cancel = context.WithTimeout(t.Context(), 20*time.Second)
			if r.run(func() { c.run(newEnv(r, m.open, s.setup)) }) {
				return c.name
			}
		}
	}
	return ""
}

// recorder notes failures instead of reporting them.
type recorder struct {
	testing.TB
	ctx      context.Context
	cancel   context.CancelFunc
	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

// run reports whether f fails, or panics.
func (r *recorder) run(f func()) bool {
	defer r.cancel()
	call := func(f func()) {
		done := make(chan struct{})
		go func() { // FailNow ends a goroutine
			defer close(done)
			defer func() {
				if p := recover(); p != nil {
					r.Fail()
				}
			}()
			f()
		}()
		<-done
	}
	call(f)
	for len(r.cleanups) > 0 {
		last := r.cleanups[len(r.cleanups)-1]
		r.cleanups = r.cleanups[:len(r.cleanups)-1]
		call(last)
	}
	return r.Failed()
}

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) FailNow()                 { r.Fail(); runtime.Goexit() }
func (r *recorder) SkipNow()                 { runtime.Goexit() }
func (r *recorder) Error(...any)             { r.Fail() }
func (r *recorder) Errorf(string, ...any)    { r.Fail() }
func (r *recorder) Fatal(...any)             { r.FailNow() }
func (r *recorder) Fatalf(string, ...any)    { r.FailNow() }
func (r *recorder) Skip(...any)              { r.SkipNow() }
func (r *recorder) Log(...any)               {}
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Helper()                  {}
func (r *recorder) Cleanup(f func())         { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Context() context.Context { return r.ctx }
