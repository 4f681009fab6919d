package apply_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

// lane makes the messages of a live lane; a history's stand between them.
type lane struct {
	t     testing.TB
	epoch uint64
	seq   uint64
	all   []queue.Message
}

func newLane(t testing.TB) *lane { return &lane{t: t, epoch: 1, seq: 40} }

func (l *lane) next(e entry.Entry) queue.Message {
	e.Epoch, e.Network, e.End = l.epoch, "testnet", 0
	m := queue.Message{Entry: e, Lane: queue.LiveLane, Seq: l.seq + 3, After: l.seq}
	if len(l.all) == 0 {
		m.After = 0
	}
	l.seq = m.Seq
	l.all = append(l.all, m)
	return m
}

// data is an entry with some rows of each block.
func (l *lane) data(from, to block.Number, perBlock int) queue.Message {
	return l.next(encode(l.t, logSchema, entry.Header{Range: block.Closed(from, to)}, 0, perBlock))
}

// complete is rows that close their range.
func (l *lane) complete(from, to block.Number, perBlock int) queue.Message {
	return l.next(encode(l.t, logSchema, entry.Header{
		Range: block.Closed(from, to), Complete: true, Hash: block.Hash{1, byte(to)}, Seen: time.Now(),
	}, 0, perBlock))
}

func (l *lane) watermark(from, to block.Number) queue.Message {
	return l.next(entry.Entry{Header: entry.Header{
		Kind: entry.Watermark, Range: block.Closed(from, to), Hash: block.Hash{1, byte(to)}, Seen: time.Now(),
	}})
}

func (l *lane) invalidate(n block.Number) queue.Message {
	return l.next(entry.Entry{Header: entry.Header{
		Kind: entry.Invalidate, Range: block.Closed(n, n), Prev: block.Hash{1, byte(n - 1)},
	}})
}

// begin is an epoch of its own.
func (l *lane) begin(n block.Number) queue.Message {
	l.epoch, l.all = l.epoch+1, nil
	return l.invalidate(n)
}

// story is a lane with reorgs: blocks 10 to 29, of which 10 to 13 have one row, 14 to
// 19 have two and the rest three.
func story(t testing.TB) *lane {
	l := newLane(t)
	l.invalidate(10)
	l.data(10, 14, 1)
	l.watermark(10, 14)
	l.data(15, 20, 1)
	l.data(21, 21, 1)
	l.invalidate(15) // unfinished
	l.data(15, 18, 1)
	l.watermark(15, 18)
	l.invalidate(14) // a reorg
	l.complete(14, 21, 2)
	l.invalidate(20)
	l.data(20, 29, 3)
	l.watermark(20, 29)
	return l
}

func (r *env) wantStory() {
	r.Helper()
	r.wantRows(map[block.Range]int{block.Closed(10, 13): 1, block.Closed(14, 19): 2, block.Closed(20, 29): 3})
}

// wantStorySteps fails unless the observer was told each step of the story once, in order.
func (r *env) wantStorySteps() {
	r.Helper()
	want := []string{
		"has [10, 15)", "has [15, 19)", // those from 15 to 21 were not complete when they were undone
		"undone [14, 19)", "has [14, 22)", "undone [20, 22)", "has [20, 30)",
	}
	if got := r.watch.steps(); !slices.Equal(got, want) {
		r.Errorf("the observer was told %q, want %q", got, want)
	}
}

// wantRows fails unless exactly these blocks are covered and have so many rows.
func (r *env) wantRows(want map[block.Range]int) {
	r.Helper()
	var coverage block.Set
	rows := map[block.Number]int{}
	for blocks, n := range want {
		coverage.Add(blocks)
		for at := blocks.Start; at < blocks.End; at++ {
			rows[at] = n
		}
	}
	if got := r.store.CommitState().Coverage; !got.Equal(coverage) {
		r.Fatalf("coverage is %v, want %v", got, coverage)
	}
	for _, row := range r.store.Rows() {
		rows[row.Block]--
	}
	for n, more := range rows {
		if more != 0 {
			r.Fatalf("block %d has %d rows too few", n, more)
		}
	}
}

// live adds a live lane to the env, of which these messages are delivered first.
func (r *env) live(messages ...queue.Message) *fakeLog {
	log := newFakeLog()
	r.loop.Live = log
	for _, m := range messages {
		log.append(m)
	}
	return log
}

// apply plays another process of the sink.
func (r *env) apply(messages ...queue.Message) {
	r.Helper()
	w := r.store.Writer()
	if err := w.Open(r.Context(), r.loop.Table); err != nil {
		r.Fatal(err)
	}
	decoder := entry.NewDecoder(nil)
	for _, m := range messages {
		c := sink.Change{Header: m.Header, Seq: m.Seq, After: m.After, Live: true}
		if m.Kind == entry.Data {
			var err error
			if _, c.Records, err = decoder.Decode(m.Entry); err != nil {
				r.Fatal(err)
			}
		}
		_, err := w.Apply(r.Context(), []sink.Change{c})
		for _, rec := range c.Records {
			rec.Release()
		}
		if err != nil {
			r.Fatalf("message %d: %v", m.Seq, err)
		}
	}
}

// stopped stops the loop and fails if it has kept or answered anything wrongly.
func (r *env) stopped(stop func() error, logs ...*fakeLog) {
	r.Helper()
	if err := stop(); err != nil {
		r.Error(err)
	}
	for _, log := range logs {
		if n := log.outstanding(); n > 0 {
			r.Errorf("%d messages were not answered", n)
		}
	}
}

// TestLiveEntriesComeInAnyOrder: redelivered, duplicated, reversed, shuffled. What the
// destination gets is the lane's order.
func TestLiveEntriesComeInAnyOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	shuffled := func(m []queue.Message) { rnd.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] }) }
	for name, arrange := range map[string]func([]queue.Message) []queue.Message{
		"in order": func(m []queue.Message) []queue.Message { return m },
		"reversed": func(m []queue.Message) []queue.Message { slices.Reverse(m); return m },
		"each twice": func(m []queue.Message) []queue.Message {
			var all []queue.Message
			for _, one := range m {
				all = append(all, one, one)
			}
			return all
		},
		"all twice": func(m []queue.Message) []queue.Message { return slices.Concat(m, m) },
		"the end first": func(m []queue.Message) []queue.Message {
			return slices.Concat(m[len(m)/2:], m[:len(m)/2])
		},
		"shuffled": func(m []queue.Message) []queue.Message { shuffled(m); return m },
		"shuffled, some more often": func(m []queue.Message) []queue.Message {
			m = slices.Concat(m, m[:5], m[3:9], m[7:])
			shuffled(m)
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEnv(t)
				l := story(t)
				r.apply(l.all[0]) // else whatever comes first would begin the lane
				log := r.live(arrange(slices.Clone(l.all[1:]))...)
				stop := r.start()
				time.Sleep(time.Minute)
				synctest.Wait()
				r.wantStory()
				r.wantStorySteps()
				r.stopped(stop, log)
				for _, m := range log.all {
					if _, acked := m.counts(); acked != 1 {
						t.Errorf("message %d was acknowledged %d times", m.Seq, acked)
					}
				}
				if s := r.store.CommitState().Live; s.Seq != l.seq || s.Start != 10 || s.Cursor.Number != 29 || s.Cursor.Hash != (block.Hash{1, 29}) {
					t.Errorf("live state is %+v", s)
				}
			})
		})
	}
}

// TestTwoProcessesShareTheLiveLane, which the server does not let happen for long, do
// no harm to it: each gets what the other does not.
func TestTwoProcessesShareTheLiveLane(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			r := newEnv(t)
			l := story(t)
			r.apply(l.all[0])
			one, other := r.live(), newFakeLog()
			second := *r.loop
			second.Source, second.Live, second.Writer = newFakeLog(), other, r.store.Writer()
			if err := second.Writer.Open(t.Context(), second.Table); err != nil {
				t.Fatal(err)
			}
			for i, m := range l.all[1:] {
				if rnd.IntN(2) == 0 {
					one.append(m)
				} else {
					other.append(m)
				}
				if rnd.IntN(4) == 0 {
					one.append(l.all[1+i/2])
				}
			}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- second.Run(ctx) }()
			stop := r.start()
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			r.wantStory()
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			r.stopped(stop, one, other)
		})
	}
}

// TestThePredecessorIsAnotherProcesss: it is applied there, and the entry here continues
// as soon as that is noticed, without having been given back.
func TestThePredecessorIsAnotherProcesss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		l := story(t)
		r.apply(l.all[:3]...)
		log := r.live(l.all[5:]...)
		stop := r.start()
		time.Sleep(time.Second)
		synctest.Wait()
		if acked := log.acked(); len(acked) > 0 {
			t.Errorf("%v are applied before their predecessors", acked)
		}
		r.apply(l.all[3:5]...)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		r.wantStory()
		r.stopped(stop, log)
		for _, m := range log.all {
			if delivered, acked := m.counts(); delivered != 1 || acked != 1 {
				t.Errorf("message %d was delivered %d times and acknowledged %d times", m.Seq, delivered, acked)
			}
		}
	})
}

// TestOvertakenEntriesAreNotKept: entries that wait here, and that another process has applied
// meanwhile, are acknowledged although the lane has no pause. What is not acknowledged looks
// as if the sink were behind, and keeps the log from being trimmed.
func TestOvertakenEntriesAreNotKept(t *testing.T) {
	for range 5 { // in which of them the wait is over first is not known
		synctest.Test(t, func(t *testing.T) {
			r := newEnv(t)
			l := story(t)
			r.apply(l.all[:3]...)
			log := r.live(l.all[4:]...)
			stop := r.start()
			time.Sleep(time.Second)
			r.apply(l.all[3:]...)
			for n := block.Number(30); n < 50; n++ {
				log.append(l.data(n, n, 3))
				log.append(l.watermark(n, n))
				time.Sleep(500 * time.Millisecond)
			}
			synctest.Wait()
			if acked := log.acked(); len(acked) != len(log.all) {
				t.Errorf("of %d entries these are acknowledged: %v", len(log.all), acked)
			}
			r.stopped(stop, log)
		})
	}
}

// mistaken is a destination that says, once, that it is further than it is.
type mistaken struct {
	sink.Writer
	once  sync.Once
	state sink.State
}

func (m *mistaken) State(ctx context.Context) (s sink.State, err error) {
	s, err = m.Writer.State(ctx)
	m.once.Do(func() { s = m.state })
	return s, err
}

// TestAGapIsNoDeadEnd: a destination that lacks what it was thought to have is asked
// again, and gets it.
func TestAGapIsNoDeadEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		l := story(t)
		r.apply(l.all[:3]...)
		state := r.store.CommitState().State
		state.Live.Seq = l.all[5].Seq
		r.loop.Writer = &mistaken{Writer: r.loop.Writer, state: state}
		r.loop.Reports = nil // would ask for the state as well
		log := r.live(l.all[6:]...)
		for _, m := range l.all[3:6] {
			log.append(m)
		}
		stop := r.start()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		r.wantStory()
		r.stopped(stop, log)
	})
}

// TestJoiningLate: the lane begins, for a destination that has nothing of it, where it
// can be complete.
func TestJoiningLate(t *testing.T) {
	l := story(t)
	parts := newLane(t)
	parts.invalidate(10)
	for i := range 3 {
		h := entry.Header{Range: block.Closed(10, 10), Part: i, Parts: 3, Batch: "0123456789abcdef"}
		parts.next(encode(t, logSchema, h, i, i+1))
	}
	parts.data(11, 15, 3)
	parts.watermark(10, 15)
	for name, c := range map[string]struct {
		messages []queue.Message
		want     map[block.Range]int
		start    block.Number
	}{
		"with rows":             {l.all[9:], map[block.Range]int{block.Closed(14, 19): 2, block.Closed(20, 29): 3}, 14},
		"with a watermark":      {l.all[10:], map[block.Range]int{block.Closed(20, 29): 3}, 20},
		"with an invalidation":  {l.all[8:], map[block.Range]int{block.Closed(14, 19): 2, block.Closed(20, 29): 3}, 14},
		"inside a range":        {l.all[4:8], map[block.Range]int{block.Closed(15, 18): 1}, 15},
		"inside a block":        {parts.all[2:], map[block.Range]int{block.Closed(11, 15): 3}, 11},
		"at the end of a block": {parts.all[3:], map[block.Range]int{block.Closed(11, 15): 3}, 11},
		"with a whole block":    {parts.all[1:], map[block.Range]int{block.Closed(10, 15): 3}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEnv(t)
				log := r.live(c.messages...)
				stop := r.start()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				r.stopped(stop, log)
				r.wantRows(c.want)
				if s := r.store.CommitState().Live; !s.Started || s.Start != c.start {
					t.Errorf("live state is %+v", s)
				}
				if acked := log.acked(); len(acked) != len(c.messages) {
					t.Errorf("acknowledged are %v of %d", acked, len(c.messages))
				}
			})
		})
	}
}

// TestTheBeginningComesLast: the entry that begins a destination's live lane comes
// after those that follow it, as it does when the process that had taken it dies.
// They wait for it; a watermark that was dropped would be a hole for ever.
func TestTheBeginningComesLast(t *testing.T) {
	for name, turned := range map[string]int{"after a watermark": 3, "after an invalidation": 5, "after everything": 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEnv(t)
				l := story(t)
				first := slices.Clone(l.all[:turned])
				slices.Reverse(first)
				log := r.live(first...)
				for _, m := range l.all[turned:] {
					log.append(m)
				}
				stop := r.start()
				time.Sleep(time.Minute)
				synctest.Wait()
				r.wantStory()
				r.stopped(stop, log)
			})
		})
	}
}

// TestEpochs: one that is later begins the lane again, behind nothing; what is left of
// one before is skipped.
func TestEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		l := newLane(t)
		old := []queue.Message{l.invalidate(10), l.data(10, 19, 1), l.watermark(10, 19), l.data(20, 24, 1)}
		r.apply(old[:3]...)
		first := l.begin(18)
		second, third := l.data(18, 29, 2), l.watermark(18, 29)
		log := r.live(second) // before the entry that begins its epoch
		stop := r.start()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.wantRows(map[block.Range]int{block.Closed(10, 19): 1})
		for _, m := range []queue.Message{third, first, old[3], old[1]} {
			log.append(m)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.wantRows(map[block.Range]int{block.Closed(10, 17): 1, block.Closed(18, 29): 2})
		r.stopped(stop, log)
		if s := r.store.CommitState().Live; s.Epoch != 2 || s.Seq != third.Seq || s.Start != 10 {
			t.Errorf("live state is %+v", s)
		}
		if acked := log.acked(); len(acked) != 5 {
			t.Errorf("acknowledged are %v", acked)
		}
	})
}

// TestStopWhileEntriesWait returns them.
func TestStopWhileEntriesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		l := story(t)
		r.apply(l.all[0])
		log := r.live(l.all[3:]...)
		stop := r.start()
		synctest.Wait()
		begin := time.Now()
		r.stopped(stop, log)
		if took := time.Since(begin); took != 0 {
			t.Errorf("stopping took %s", took)
		}
		for _, m := range log.all {
			if m.nacked != 1 || m.acked != 0 {
				t.Errorf("message %d was given back %d times and acknowledged %d times", m.Seq, m.nacked, m.acked)
			}
		}
	})
}

// TestWaitingEntriesDoNotKeepTheirPredecessorOut although they fill what may be in flight.
func TestWaitingEntriesDoNotKeepTheirPredecessorOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		l := newLane(t)
		l.invalidate(10)
		for n := range block.Number(40) {
			l.data(10+n, 10+n, 2)
		}
		r.apply(l.all[0])
		reversed := slices.Clone(l.all[1:])
		slices.Reverse(reversed)
		log := r.live(reversed...)
		log.limit = 5 * len(reversed[0].Payload)
		stop := r.start()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		r.wantRows(map[block.Range]int{block.Closed(10, 49): 2})
		r.stopped(stop, log)
		if log.peak > log.limit+len(reversed[0].Payload) {
			t.Errorf("held up to %d bytes, the limit is %d", log.peak, log.limit)
		}
	})
}

// TestHistoryGoesOnWhileTheLiveLaneWaits, and the other way round.
func TestHistoryGoesOnWhileTheLiveLaneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 1, 1)...)
		l := story(t)
		r.apply(l.all[0])
		log := r.live(l.all[3:]...)
		stop := r.start()
		time.Sleep(time.Second)
		synctest.Wait()
		r.wantRows(map[block.Range]int{upTo(10): 1})
		for _, m := range l.all[1:3] {
			log.append(m)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.stopped(stop, r.log, log)
		r.wantRows(map[block.Range]int{block.Closed(0, 13): 1, block.Closed(14, 19): 2, block.Closed(20, 29): 3})
	})
}

// TestALiveEntryWaitsForNobody: it is committed at the moment it comes, however long
// the history's entries wait for others.
func TestALiveEntryWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 1, 1)...)
		r.loop.Wait = time.Hour
		l := newLane(t)
		log := r.live(l.invalidate(10))
		begin := time.Now()
		stop := r.start()
		for n := block.Number(10); n < 20; n++ {
			log.append(l.data(n, n, 1))
			log.append(l.watermark(n, n))
			synctest.Wait()
			if got := r.store.CommitState().Live.Cursor.Number; got != n {
				t.Errorf("the cursor is at block %d, want %d", got, n)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("it took %s", took)
		}
		r.wantRows(map[block.Range]int{block.Closed(10, 19): 1})
		var marks []block.Number
		for _, c := range r.watch.commits {
			for _, m := range c.Marks {
				marks = append(marks, m.Number)
				if !m.Seen.Equal(begin) {
					t.Errorf("block %d was seen at %s", m.Number, m.Seen)
				}
			}
		}
		if len(marks) != 10 || marks[9] != 19 {
			t.Errorf("told of the watermarks %v", marks)
		}
		r.stopped(stop, r.log, log)
	})
}

// TestABadRowStopsBothFlows, loudly, whichever it came by.
func TestABadRowStopsBothFlows(t *testing.T) {
	t.Run("live", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newEnv(t)
			l := story(t)
			log := r.live(l.all...)
			r.refuse("16.0")
			err := r.fails()
			for _, text := range []string{"block 16", "row 1 ", `"text"`} {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%s is not in: %v", text, err)
				}
			}
			// Nothing behind it is applied: the lane has an order.
			r.wantRows(map[block.Range]int{block.Closed(10, 14): 1})
			if n := log.outstanding(); n > 0 {
				t.Errorf("%d messages were not answered", n)
			}
			if acked := log.acked(); len(acked) != 3 {
				t.Errorf("acknowledged are %v", acked)
			}
			if last := r.watch.reports[len(r.watch.reports)-1]; last.State != state.SinkFailed || last.Reason != err.Error() {
				t.Errorf("the last report is %+v", last)
			}
		})
	})
	t.Run("history", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newEnv(t, entries(t, 1, 2)...)
			l := story(t)
			log := r.live(l.all...)
			r.refuse("3.1")
			if err := r.fails(); !strings.Contains(err.Error(), "block 3") {
				t.Error(err)
			}
			if n := log.outstanding(); n > 0 {
				t.Errorf("%d messages were not answered", n)
			}
			if s := r.store.CommitState().Live; s.Seq != l.seq {
				t.Errorf("the live lane had come to %+v", s)
			}
		})
	})
	t.Run("another schema", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newEnv(t)
			l := newLane(t)
			other := arrow.NewSchema([]arrow.Field{{Name: "text", Type: arrow.PrimitiveTypes.Int32}, logSchema.Field(1)}, nil)
			l.invalidate(10)
			l.data(10, 12, 1)
			l.next(encode(t, other, entry.Header{Range: block.Closed(13, 13)}, 0, 0))
			l.data(14, 15, 1)
			log := r.live(l.all...)
			if err := r.fails(); !strings.Contains(err.Error(), `column "text" is of type int32 instead of utf8`) {
				t.Error(err)
			}
			r.wantRows(map[block.Range]int{block.Closed(10, 12): 1})
			if n := log.outstanding(); n > 0 {
				t.Errorf("%d messages were not answered", n)
			}
		})
	})
}

// unreadable is a writer whose destination cannot say how far it is.
type unreadable struct{ sink.Writer }

func (unreadable) State(context.Context) (sink.State, error) {
	return sink.State{}, fault.Permanent(errors.New("permission denied for table live"))
}

// TestADestinationThatCannotBeAskedStopsTheSink: it is the error that the loop ends
// with, and entries are not handed back and forth in silence.
func TestADestinationThatCannotBeAskedStopsTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		log := r.live(story(t).all...)
		r.loop.Writer = unreadable{r.loop.Writer}
		if err := r.fails(); !strings.Contains(err.Error(), "permission denied for table live") {
			t.Errorf("it ends with %v", err)
		}
		if n := log.outstanding(); n > 0 {
			t.Errorf("%d messages were not answered", n)
		}
	})
}
