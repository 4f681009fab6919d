package apply_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	arrowmemory "github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
	"github.com/ampipe/ampipe/pkg/state"
)

// env is a loop between a log and a destination that a test controls.
type env struct {
	*testing.T
	log   *fakeLog
	store *memsink.Store
	watch *watch
	loop  *apply.Loop
}

func newEnv(t *testing.T, entries ...entry.Entry) *env {
	t.Helper()
	checked := arrowmemory.NewCheckedAllocator(arrowmemory.DefaultAllocator)
	t.Cleanup(func() { checked.AssertSize(t, 0) })
	r := &env{T: t, log: newFakeLog(entries...), store: &memsink.Store{}, watch: &watch{}}
	table := sink.Table{Pipeline: "p", Sink: "warehouse", Schema: logSchema, BlockColumn: 1, Epoch: 1, Network: "testnet"}
	w := r.store.Writer()
	if err := w.Open(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	r.loop = &apply.Loop{
		Writer: w, Table: table, Source: r.log, Reports: r.watch, Observer: r.watch, Allocator: checked,
		Rows: 1000, Backoff: fault.Backoff{Attempts: 4},
	}
	return r
}

// start runs the loop. The function that it returns stops it and waits.
func (r *env) start() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.loop.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

// runs runs the loop for a time of the test's bubble. It has to stop without an error.
func (r *env) runs(d time.Duration) {
	r.Helper()
	stop := r.start()
	time.Sleep(d)
	synctest.Wait()
	if err := stop(); err != nil {
		r.Error(err)
	}
}

// wantPause fails unless the loop has paused once, for this reason, and has resumed.
func (r *env) wantPause(reason string) {
	r.Helper()
	if !slices.Equal(r.watch.paused(), []string{reason}) || r.watch.resumed() != 1 {
		r.Errorf("pauses %q and %d resumes", r.watch.paused(), r.watch.resumed())
	}
}

// fails runs the loop until it ends by itself.
func (r *env) fails() error {
	r.Helper()
	err := r.loop.Run(r.Context())
	if fault.Of(err) != fault.ClassPermanent || err == nil {
		r.Fatalf("the loop ended with %v, want a permanent error", err)
	}
	if !strings.Contains(err.Error(), `"warehouse"`) {
		r.Errorf("the error does not name the sink: %v", err)
	}
	if n := r.log.outstanding(); n > 0 {
		r.Errorf("%d messages were not answered", n)
	}
	return err
}

// wantBlocks fails unless exactly these blocks are covered and have their rows
// once.
func (r *env) wantBlocks(perBlock int, ranges ...block.Range) {
	r.Helper()
	want := block.NewSet(ranges...)
	if got := r.store.CommitState().Coverage; !got.Equal(want) {
		r.Fatalf("coverage is %v, want %v", got, want)
	}
	rows := make(map[string]int)
	for _, row := range r.store.Rows() {
		rows[row.Values[0].(string)]++
	}
	for _, b := range want.Ranges() {
		for n := b.Start; n < b.End; n++ {
			for i := range perBlock {
				if name := fmt.Sprintf("%d.%d", n, i); rows[name] != 1 {
					r.Fatalf("row %s is there %d times", name, rows[name])
				}
			}
		}
	}
	if want := int(want.Len()) * perBlock; len(rows) != want {
		r.Fatalf("%d rows, want %d", len(rows), want)
	}
}

// entries makes count entries of ten blocks each.
func entries(t testing.TB, count, perBlock int) []entry.Entry {
	var all []entry.Entry
	for i := range block.Number(count) {
		all = append(all, encoded(t, logSchema, block.Range{Start: i * 10, End: i*10 + 10}, perBlock))
	}
	return all
}

func upTo(end block.Number) block.Range { return block.Range{End: end} }

func TestLoopCollectsRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 45, 10)...) // of 100 rows
		r.log.onAck = func(m *fakeMessage) {
			if !r.store.CommitState().Coverage.Covers(m.Range) {
				t.Errorf("entry %v is acknowledged before it is committed", m.Range)
			}
		}
		begin := time.Now()
		stop := r.start()
		synctest.Wait()
		if got, want := r.watch.sizes(), []uint64{1000, 1000, 1000, 1000}; !slices.Equal(got, want) {
			t.Errorf("transactions of %v rows, want %v", got, want)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("full transactions waited %s", took)
		}
		time.Sleep(199 * time.Millisecond)
		synctest.Wait()
		if n := len(r.watch.sizes()); n != 4 {
			t.Errorf("%d transactions before the wait is over", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := r.watch.sizes(); len(got) != 5 || got[4] != 500 {
			t.Errorf("transactions of %v rows after the wait", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.wantBlocks(10, upTo(450))
		if n := len(r.log.acked()); n != 45 {
			t.Errorf("%d of 45 are acknowledged", n)
		}
	})
}

func TestLoopWaitsFromTheFirstEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		stop := r.start()
		begin := time.Now()
		for _, e := range entries(t, 3, 1) {
			r.log.add(e)
			time.Sleep(90 * time.Millisecond)
		}
		synctest.Wait()
		if got := r.watch.sizes(); !slices.Equal(got, []uint64{30}) {
			t.Errorf("transactions of %v rows after %s", got, time.Since(begin))
		}
		r.log.add(encoded(t, logSchema, block.Range{Start: 30, End: 40}, 1))
		time.Sleep(150 * time.Millisecond)
		if err := stop(); err != nil { // what waits is applied at once
			t.Error(err)
		}
		r.wantBlocks(1, upTo(40))
	})
}

// TestLoopUsesItsWriters holds every transaction until three run together.
// TestTheLastRowsAreCommittedAndReportedAtOnce: nothing comes that they could wait for, and
// the pipeline ends with them. That is known a moment after they came.
func TestTheLastRowsAreCommittedAndReportedAtOnce(t *testing.T) {
	for _, c := range []struct {
		ended bool
		rows  int // of a transaction: the last one is full, or not
	}{{true, 1000}, {true, 30}, {false, 1000}} {
		synctest.Test(t, func(t *testing.T) {
			asked, ended := 0, c.ended
			r := newEnv(t)
			r.loop.Rows = c.rows
			r.loop.Ended = func(context.Context) bool { asked++; return ended && asked > 1 }
			stop := r.start()
			time.Sleep(100 * time.Millisecond) // since the first report
			r.log.add(entries(t, 3, 1)...)
			time.Sleep(40 * time.Millisecond)
			synctest.Wait()
			covered := func() bool {
				return slices.ContainsFunc(r.watch.reported(), func(s state.SinkReport) bool { return s.Coverage.Covers(upTo(30)) })
			}
			if is := covered(); is != ended {
				t.Errorf("reported 40 ms after the last entry: %t, ended: %t", is, ended)
			}
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
			if !ended && !covered() {
				t.Error("not reported half a second after the last entry")
			}
			if (asked == 2) != ended || asked > 10 {
				t.Errorf("asked %d times, ended: %t", asked, ended)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTheEndIsNotAskedForWhileRowsWaitForAWriter: the answer would change nothing, and the log
// and the state of all partitions are read for it.
func TestTheEndIsNotAskedForWhileRowsWaitForAWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 6, 1)...)
		r.loop.Rows = 10 // an entry is a transaction: one runs, one is decoded, and one waits
		var asked atomic.Int64
		r.loop.Ended = func(context.Context) bool { asked.Add(1); return false }
		free := make(chan struct{})
		r.store.Faults.Begin = func(context.Context, []sink.Change) error { <-free; return nil }
		stop := r.start()
		time.Sleep(time.Second)
		if n := asked.Load(); n > 0 {
			t.Errorf("asked %d times while a full transaction waited for its turn", n)
		}
		close(free)
		time.Sleep(time.Second)
		synctest.Wait()
		if asked.Load() == 0 {
			t.Error("not asked after the last rows were written")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.wantBlocks(1, upTo(60))
	})
}

// TestMoreRowsAfterTheEndAreReportedAsBefore: what was planned again comes after the end.
func TestMoreRowsAfterTheEndAreReportedAsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		ended := true
		r.loop.Ended = func(context.Context) bool { return ended }
		stop := r.start()
		time.Sleep(time.Second)
		r.log.add(entries(t, 1, 1)...)
		time.Sleep(time.Second)
		synctest.Wait()
		ended = false
		_ = r.watch.reported()
		for i := range block.Number(100) { // each in a transaction of its own
			r.log.add(encoded(t, logSchema, block.Range{Start: 10 + 10*i, End: 20 + 10*i}, 1000))
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if n := len(r.watch.reported()); n > 6 {
			t.Errorf("%d reports in a second", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestLoopUsesItsWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 30, 10)...)
		r.loop.Writers = 3
		var together sync.WaitGroup
		together.Add(3)
		r.store.Faults.Begin = func(context.Context, []sink.Change) error {
			together.Done()
			together.Wait()
			return nil
		}
		stop := r.start()
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.wantBlocks(10, upTo(300))
	})
}

func TestLoopPausesWhileTheDestinationIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 40, 10)...)
		r.loop.Writers = 2
		back := time.Now().Add(time.Minute)
		r.store.Faults.Begin = func(context.Context, []sink.Change) error {
			if time.Now().Before(back) {
				return fault.Later(errors.New("connection refused"), 0)
			}
			return nil
		}
		stop := r.start()
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if len(r.log.acked()) > 0 {
			t.Error("something is acknowledged although nothing is committed")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.wantBlocks(10, upTo(400))
		if err := stop(); err != nil {
			t.Error(err)
		}
		for _, m := range r.log.all {
			if m.delivered != 1 || m.acked != 1 {
				t.Errorf("entry %v was delivered %d times and acknowledged %d times", m.Range, m.delivered, m.acked)
			}
		}
		r.wantPause("connection refused")
		story := r.watch.story()
		if story[0] == "running" { // the first report may be earlier than the pause
			story = story[1:]
		}
		if want := []string{"paused", "running", "stopped"}; !slices.Equal(story, want) {
			t.Errorf("reported %q, want %q", story, want)
		}
		for _, report := range r.watch.reports {
			if (report.State == "paused") != (report.Reason == "connection refused") {
				t.Errorf("report %+v", report)
			}
		}
		last := r.watch.reports[len(r.watch.reports)-1]
		if last.Name != "warehouse" || last.Rows != 4000 || !last.Coverage.Covers(upTo(400)) || last.Reason != "" {
			t.Errorf("the last report is %+v", last)
		}
	})
}

// refuse makes the destination refuse rows by their text.
func (r *env) refuse(names ...string) {
	r.store.Faults.Row = func(row memsink.Row) error {
		if slices.Contains(names, row.Values[0].(string)) {
			return &sink.BadRowError{Column: "text", Reason: "a NUL character"}
		}
		return nil
	}
}

func TestLoopIsolatesARefusedRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 10, 10)...)
		r.refuse("43.7")
		err := r.fails()
		bad, ok := errors.AsType[*sink.BadRowError](err)
		if !ok || bad.Block != 43 || bad.Row != 37 || bad.Column != "text" {
			t.Errorf("the error is %v", err)
		}
		r.wantBlocks(10, block.Range{Start: 0, End: 43}, block.Range{Start: 44, End: 100})
		if got := r.log.acked(); slices.Contains(got, 5) || len(got) != 9 {
			t.Errorf("acknowledged are %v, want all but the fifth", got)
		}
		last := r.watch.reports[len(r.watch.reports)-1]
		if last.State != state.SinkFailed || last.Reason != err.Error() {
			t.Errorf("the last report is %+v", last)
		}

		// The destination is mended: what is left comes again and nothing twice.
		r.store.Faults.Row = nil
		r.runs(time.Second)
		r.wantBlocks(10, upTo(100))
	})
}

func TestLoopIsolatesSeveralRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 10, 10)...)
		r.refuse("0.0", "43.7", "45.1", "45.2", "46.0", "99.9")
		var logged strings.Builder
		r.loop.Logger = zerolog.New(&logged)
		r.fails()
		for _, place := range []string{"block 45, row 51 of its entry", "block 46, row 60 of its entry"} {
			if !strings.Contains(logged.String(), place) {
				t.Errorf("%s is not in the log: %s", place, logged.String())
			}
		}
		r.wantBlocks(10, block.Range{Start: 1, End: 43}, block.Range{Start: 44, End: 45}, block.Range{Start: 47, End: 99})
	})
}

func TestLoopDoesNotSearchForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 200, 5)...)
		r.loop.Rows = 10_000
		calls := 0
		r.store.Faults.Begin = func(context.Context, []sink.Change) error {
			calls++
			return fault.Permanent(errors.New("permission denied for table logs"))
		}
		if err := r.fails(); !strings.Contains(err.Error(), "permission denied for table logs") {
			t.Error(err)
		}
		if calls > 200 {
			t.Errorf("%d transactions to find out that nothing can be written", calls)
		}
		if n := len(r.log.acked()); n > 0 {
			t.Errorf("%d are acknowledged", n)
		}
	})
}

// TestLoopOutlastsMinutesOfErrors that nobody knows: it says why it waits, and resumes.
func TestLoopOutlastsMinutesOfErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 3, 5)...)
		r.loop.Backoff = fault.Backoff{}
		began := time.Now()
		r.store.Faults.Begin = func(context.Context, []sink.Change) error {
			if time.Since(began) < 20*time.Minute {
				return errors.New("deadlock detected")
			}
			return nil
		}
		r.runs(21 * time.Minute)
		r.wantBlocks(5, upTo(30))
		r.wantPause("deadlock detected")
	})
}

func TestLoopGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 3, 5)...)
		calls := 0
		r.store.Faults.Begin = func(context.Context, []sink.Change) error {
			calls++
			return errors.New("deadlock detected")
		}
		if err := r.fails(); !strings.Contains(err.Error(), "gave up after 4 attempts") || !strings.Contains(err.Error(), "deadlock detected") || calls != 4 {
			t.Errorf("%d calls, then: %v", calls, err)
		}
	})
}

// TestLoopRepeatsAfterALostAnswer lets each transaction be committed and
// answered with an error once.
func TestLoopRepeatsAfterALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 40, 10)...)
		calls := 0
		r.store.Faults.Committed = func() error {
			calls++
			if calls%2 == 1 {
				return errors.New("connection reset by peer")
			}
			return nil
		}
		r.runs(time.Minute)
		r.wantBlocks(10, upTo(400))
		if n := len(r.log.acked()); n != 40 || calls != 8 {
			t.Errorf("%d of 40 are acknowledged after %d transactions", n, calls)
		}
	})
}

func TestLoopStopsAfterTheGraceTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 40, 10)...)
		r.loop.Grace = 7 * time.Second
		r.loop.Backoff.Attempts = 1 // being told to stop is no failed attempt
		r.store.Faults.Begin = func(ctx context.Context, _ []sink.Change) error {
			<-ctx.Done()
			return ctx.Err()
		}
		stop := r.start()
		synctest.Wait()
		begin := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 7*time.Second {
			t.Errorf("stopping took %s", took)
		}
		if r.log.outstanding() != 0 || len(r.log.acked()) != 0 {
			t.Errorf("%d are not answered, %v are acknowledged", r.log.outstanding(), r.log.acked())
		}
		r.wantBlocks(10)
	})
}

func TestLoopFinishesWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 40, 10)...)
		r.store.Faults.Begin = func(context.Context, []sink.Change) error {
			time.Sleep(3 * time.Second)
			return nil
		}
		stop := r.start()
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		acked := len(r.log.acked())
		if acked < 10 || r.log.outstanding() != 0 {
			t.Errorf("%d are acknowledged, %d not answered", acked, r.log.outstanding())
		}
		r.wantBlocks(10, upTo(block.Number(10*acked)))
	})
}

// TestLoopStopsWhilePaused does not wait for a destination that is away.
func TestLoopStopsWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 40, 10)...)
		r.store.Faults.Begin = func(context.Context, []sink.Change) error {
			return fault.Later(errors.New("connection refused"), time.Hour)
		}
		stop := r.start()
		time.Sleep(3 * time.Second)
		begin := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 0 || r.log.outstanding() != 0 {
			t.Errorf("stopping took %s, %d are not answered", took, r.log.outstanding())
		}
		if last := r.watch.reports[len(r.watch.reports)-1]; last.State != "stopped" || last.Reason != "connection refused" {
			t.Errorf("the last report is %+v", last)
		}
	})
}

func TestLoopBoundsWhatItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := entries(t, 200, 10)
		largest := 0
		for _, e := range all {
			largest = max(largest, len(e.Payload))
		}
		r := newEnv(t, all...)
		r.log.limit = 20 * largest
		r.loop.Rows = 1_000_000
		r.loop.Writers = 3
		r.loop.Decoded = 1 // one entry at a time
		r.store.Faults.Begin = func(_ context.Context, changes []sink.Change) error {
			if len(changes) != 1 {
				t.Errorf("%d entries are decoded at the same time", len(changes))
			}
			time.Sleep(50 * time.Millisecond)
			return nil
		}
		r.runs(time.Minute)
		r.wantBlocks(10, upTo(2000))
		if limit := r.log.limit + largest; r.log.peak > limit || r.log.peak < r.log.limit/2 {
			t.Errorf("held up to %d bytes, the limit is %d", r.log.peak, limit)
		}
	})
}

func TestLoopRefusesAnotherSchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := entries(t, 3, 10)
		other := arrow.NewSchema([]arrow.Field{{Name: "text", Type: arrow.PrimitiveTypes.Int32}, logSchema.Field(1)}, nil)
		strict := arrow.NewSchema([]arrow.Field{{Name: "text", Type: arrow.BinaryTypes.String}, logSchema.Field(1)}, nil)
		all[0] = encoded(t, strict, upTo(10), 10) // nullability is only a guess of the source
		all[1] = encoded(t, other, block.Range{Start: 10, End: 20}, 0)
		r := newEnv(t, all...)
		err := r.fails()
		if !strings.Contains(err.Error(), `column "text" is of type int32 instead of utf8`) {
			t.Error(err)
		}
		r.wantBlocks(10, upTo(10), block.Range{Start: 20, End: 30})
	})
}

func TestLoopWaitsForTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 5, 10)...)
		back := time.Now().Add(time.Minute)
		r.log.fail = func() error {
			if time.Now().Before(back) {
				return fault.Later(errors.New("no servers available"), 0)
			}
			return nil
		}
		r.runs(2 * time.Minute)
		r.wantBlocks(10, upTo(50))
		r.wantPause("read the log: no servers available")
	})
}

// TestAReasonEndsWithItsCause: when the log answers again, also with nothing, it is
// not waited for any more.
func TestAReasonEndsWithItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		answers := []error{fault.Later(errors.New("no servers available"), time.Second), queue.ErrNoMessage}
		r.log.fail = func() error {
			if len(answers) == 0 {
				return nil
			}
			err := answers[0]
			answers = answers[1:]
			return err
		}
		stop := r.start()
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if len(r.watch.paused()) != 1 || r.watch.resumed() != 0 {
			t.Errorf("while the log is away: pauses %q and %d resumes", r.watch.paused(), r.watch.resumed())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(r.watch.paused()) != 1 || r.watch.resumed() != 1 {
			t.Errorf("when it is back: pauses %q and %d resumes", r.watch.paused(), r.watch.resumed())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestTheNewestReasonIsShown: an older one, of another part of the loop, does not hide
// it, and is shown again when it has gone.
func TestTheNewestReasonIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 1, 10)...)
		var back atomic.Bool
		r.store.Faults.Begin = func(context.Context, []sink.Change) error {
			if !back.Load() {
				return fault.Later(errors.New("connection refused"), 10*time.Second)
			}
			return nil
		}
		live := r.live()
		live.fail = func() error { return fault.Later(errors.New("no servers available"), time.Hour) }
		stop := r.start()
		time.Sleep(time.Minute)
		synctest.Wait()
		const log, destination = "read the log: no servers available", "connection refused"
		if got, want := r.watch.paused(), []string{log, destination}; !slices.Equal(got, want) {
			t.Errorf("shown were %q, want %q", got, want)
		}
		back.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := r.watch.paused(), []string{log, destination, log}; !slices.Equal(got, want) || r.watch.resumed() != 0 {
			t.Errorf("shown were %q, want %q", got, want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestLoopEndsWithTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 5, 10)...)
		calls := 0
		r.log.fail = func() error {
			calls++
			if calls > 3 {
				return fault.Permanent(errors.New("stream not found"))
			}
			return nil
		}
		if err := r.fails(); !strings.Contains(err.Error(), "read the log: stream not found") {
			t.Error(err)
		}
		r.wantBlocks(10, upTo(30)) // what was taken before is not lost
	})
}

// TestLoopAppliesLiveEntriesInOrder delivers one entry of the lane too early and
// one twice: the former stays away until its predecessor has come.
func TestLoopAppliesLiveEntriesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		live := func(seq uint64) *fakeMessage {
			blocks := block.Range{Start: block.Number(seq) * 10, End: block.Number(seq)*10 + 10}
			return r.log.append(queue.Message{Entry: encoded(t, logSchema, blocks, 2), Seq: seq, After: seq - 1, Lane: queue.LiveLane})
		}
		live(1)
		early := live(3)
		stop := r.start()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.wantBlocks(2, block.Range{Start: 10, End: 20})
		if delivered, acked := early.counts(); delivered < 2 || delivered > 11 || acked > 0 {
			t.Errorf("the early entry came %d times in ten seconds and was acknowledged %d times", delivered, acked)
		}
		live(2)
		live(2)
		live(4)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.wantBlocks(2, block.Range{Start: 10, End: 50})
		if state := r.store.CommitState().Live; state.Seq != 4 || state.Start != 10 {
			t.Errorf("live state is %+v", state)
		}
		if got := r.log.acked(); len(got) != 5 {
			t.Errorf("acknowledged are %v", got)
		}
	})
}

// TestALossIsReportedAgain: a planner reads blocks again when several readings of the destination
// have lacked them, and is not to wait for the reports of a sink that has nothing to do.
func TestALossIsReportedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 5, 10)...)
		stop := r.start()
		time.Sleep(time.Minute)
		synctest.Wait()
		r.watch.reported()
		_, err := r.loop.Writer.Apply(t.Context(), []sink.Change{sink.Removal(block.Range{Start: 10, End: 20})})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		reports := r.watch.reported()
		if len(reports) != 4 {
			t.Errorf("%d reports in the 6 s after a loss, want 4", len(reports))
		}
		for i, report := range reports {
			if report.Coverage.Len() != 40 || report.Coverage.Has(10) {
				t.Errorf("report %d: %v", i, report.Coverage)
			}
			if i > 0 && !report.Read.After(reports[i-1].Read) {
				t.Errorf("report %d is of the reading of the one before", i)
			}
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := len(r.watch.reported()); n != 2 {
			t.Errorf("%d reports in the 30 s after that, want one every 15 s", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestLoopReportsOnlyWhatItKnows: an empty coverage would have the planner queue
// everything again.
func TestLoopReportsOnlyWhatItKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 5, 10)...)
		stop := r.start()
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.watch.reported()
		back := time.Now().Add(10 * time.Second)
		r.store.Faults.State = func() error {
			if time.Now().Before(back) {
				return fault.Later(errors.New("connection refused"), 0)
			}
			return nil
		}
		stop = r.start()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if early := r.watch.reported(); len(early) > 0 {
			t.Errorf("reports before the coverage could be read: %+v", early)
		}
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		reports := r.watch.reported()
		if n := len(reports); n < 4 || n > 6 {
			t.Errorf("%d reports in 50 s of nothing new, want one every 15 s and a last one", n)
		}
		for _, report := range reports {
			if !report.Coverage.Covers(upTo(50)) {
				t.Errorf("report %+v", report)
			}
		}
	})
}
