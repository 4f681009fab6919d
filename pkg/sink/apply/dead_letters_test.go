package apply_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/deadletter"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
)

// fakeLetters keeps dead letters as the stream does: one under each block and id.
type fakeLetters struct {
	onPut func([]deadletter.Letter) error // before each, if set

	mu    sync.Mutex
	texts map[string]string // of the rows, by block and id
	all   map[string]deadletter.Letter
	puts  int
}

func (f *fakeLetters) Put(ctx context.Context, letters []deadletter.Letter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.onPut != nil {
		if err := f.onPut(letters); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all, f.texts = map[string]deadletter.Letter{}, map[string]string{}
	}
	for _, l := range letters {
		key := fmt.Sprintf("%d.%s", l.Block, l.ID)
		f.texts[key] = strings.Clone(l.Source.Column(0).(*array.String).Value(0))
		l.Source = nil // borrowed
		f.all[key] = l
		f.puts++
	}
	return nil
}

func (f *fakeLetters) TakeBack(_ context.Context, from block.Number, epoch, seq uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, l := range f.all {
		if l.Block >= from && l.VoidAfter(epoch, seq) {
			delete(f.all, key)
		}
	}
	return nil
}

// rows returns the texts of the rows that are put aside, in order.
func (f *fakeLetters) rows() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var rows []string
	for key, l := range f.all {
		rows = append(rows, fmt.Sprintf("%s of row %d", f.texts[key], l.Row))
	}
	slices.Sort(rows)
	return rows
}

// putAside makes the loop put refused rows aside.
func (r *env) putAside() *fakeLetters {
	f := &fakeLetters{}
	r.loop.DeadLetters = f
	return f
}

// wantAside fails unless the loop has put aside exactly these rows, the blocks of want are
// covered, and everything else of them is there once.
func (r *env) wantAside(f *fakeLetters, perBlock int, want block.Range, rows ...string) {
	r.Helper()
	if got := f.rows(); !slices.Equal(got, rows) {
		r.Errorf("put aside are %v, want %v", got, rows)
	}
	if got := r.store.CommitState().Coverage; !got.Equal(block.NewSet(want)) {
		r.Errorf("coverage is %v, want %v", got, want)
	}
	there := map[string]int{}
	for _, row := range r.store.Rows() {
		there[row.Values[0].(string)]++
	}
	for _, row := range rows {
		text, _, _ := strings.Cut(row, " ")
		if there[text] != 0 {
			r.Errorf("%s is put aside and written", text)
		}
		there[text] = 1
	}
	for n := want.Start; n < want.End; n++ {
		for i := range perBlock {
			if name := fmt.Sprintf("%d.%d", n, i); there[name] != 1 {
				r.Errorf("row %s is there %d times", name, there[name])
			}
		}
	}
}

// TestRefusedRowsArePutAside wherever they are: at the ends of an entry, next to each
// other, several in a block, in several entries of a batch.
func TestRefusedRowsArePutAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 10, 10)...)
		f := r.putAside()
		r.refuse("0.0", "43.7", "45.1", "45.2", "46.0", "49.9", "99.9")
		r.runs(time.Minute)
		r.wantAside(f, 10, upTo(100), "0.0 of row 0", "43.7 of row 37", "45.1 of row 51", "45.2 of row 52", "46.0 of row 60",
			"49.9 of row 99", "99.9 of row 99")
		if n := len(r.log.acked()); n != 10 {
			t.Errorf("%d of 10 entries are acknowledged", n)
		}
		dead := 0
		for _, c := range r.watch.commits {
			dead += c.Dead
		}
		if dead != 7 || f.puts != 7 {
			t.Errorf("%d dead letters are counted, and %d were stored", dead, f.puts)
		}
	})
}

// TestEveryRowIsRefused of many entries: nothing but the room for letters ends it.
func TestEveryRowIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 20, 5)...)
		f := r.putAside()
		r.store.Faults.Row = func(memsink.Row) error { return &sink.BadRowError{Reason: "no"} }
		r.runs(time.Minute)
		if n := len(f.rows()); n != 1000 || len(r.store.Rows()) != 0 {
			t.Errorf("%d rows are put aside and %d are written", n, len(r.store.Rows()))
		}
		r.wantCovered(upTo(200))
	})
}

func (r *env) wantCovered(want block.Range) {
	r.Helper()
	if got := r.store.CommitState().Coverage; !got.Equal(block.NewSet(want)) {
		r.Errorf("coverage is %v, want %v", got, want)
	}
}

// TestALetterComesBeforeTheCommit: while letters cannot be stored, the loop pauses, and
// nothing of the entry is committed.
func TestALetterComesBeforeTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 3, 10)...)
		f := r.putAside()
		r.refuse("15.3")
		began := time.Now()
		f.onPut = func([]deadletter.Letter) error {
			if r.store.CommitState().Coverage.Has(15) {
				t.Error("block 15 is committed before its dead letter is stored")
			}
			if time.Since(began) < time.Hour {
				return fault.Later(queue.ErrDeadLettersFull, 0)
			}
			return nil
		}
		r.runs(2 * time.Hour)
		r.wantAside(f, 10, upTo(30), "15.3 of row 53")
		r.wantPause("store a dead letter: the stream of dead letters is full")
	})
}

// TestACrashBeforeTheCommit has stored the letter: the next process puts the same row
// aside, and it is there once.
func TestACrashBeforeTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 3, 10)...)
		f := r.putAside()
		r.refuse("15.3")
		r.store.Faults.Commit = func() error {
			if f.puts == 1 {
				return fault.Later(errors.New("connection refused"), 0)
			}
			return nil
		}
		r.runs(time.Minute)
		if r.store.CommitState().Coverage.Has(15) {
			t.Error("block 15 is committed")
		}
		r.store.Faults.Commit = nil
		r.runs(time.Minute)
		r.wantAside(f, 10, upTo(30), "15.3 of row 53")
		if f.puts != 2 {
			t.Errorf("%d letters were stored", f.puts)
		}
	})
}

// TestOnlyRowsAreDeadLetters: what is wrong with the destination is not.
func TestOnlyRowsAreDeadLetters(t *testing.T) {
	for name, err := range map[string]error{
		"a right":            fault.Permanent(errors.New("permission denied for table logs")),
		"an unknown error":   errors.New("deadlock detected"),
		"a row of nowhere":   &sink.BadRowError{Block: 5, Row: 70, Reason: "no such row"},
		"a row of elsewhere": &sink.BadRowError{Block: 6, Row: 50, Reason: "that row is of block 5"},
		"no row":             &sink.BadRowError{Block: 5, Row: -1, Reason: "somewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEnv(t, encoded(t, logSchema, upTo(7), 10))
				f := r.putAside()
				r.store.Faults.Begin = func(context.Context, []sink.Change) error { return err }
				if failed := r.fails(); !errors.Is(failed, err) {
					t.Errorf("the loop ended with %v", failed)
				}
				if rows := f.rows(); len(rows) > 0 {
					t.Errorf("put aside are %v", rows)
				}
			})
		})
	}
}

// TestLettersThatCannotBeStored end the sink, as the row would.
func TestLettersThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 3, 10)...)
		f := r.putAside()
		r.refuse("15.3")
		f.onPut = func([]deadletter.Letter) error { return fault.Permanent(errors.New("the letter is too large")) }
		if err := r.fails(); !strings.Contains(err.Error(), "store a dead letter: the letter is too large") {
			t.Error(err)
		}
		if r.store.CommitState().Coverage.Has(15) {
			t.Error("block 15 is committed")
		}
	})
}

// TestLettersOfTheLiveLane: they come and go with their blocks, by whomever and however
// often the lane is applied.
func TestLettersOfTheLiveLane(t *testing.T) {
	aside := []string{"16.0 of row 4", "22.2 of row 8"} // of the last forks of story
	run := func(t *testing.T, staged bool) {
		synctest.Test(t, func(t *testing.T) {
			r, g := stagingEnv(t)
			if !staged {
				r, g = newEnv(t), nil
			}
			f := r.putAside()
			r.loop.StageTime = 10 * time.Second
			l := story(t)
			log := r.live(l.all...)
			r.refuse("16.0", "22.2", "21.0")
			// Row 21.0 is of two forks that are orphaned; of the last fork it gets in.
			forks := 0
			refuse := r.store.Faults.Row
			r.store.Faults.Row = func(row memsink.Row) error {
				if row.Values[0] == "21.0" && len(f.rows()) > 0 && forks > 1 {
					return nil
				}
				return refuse(row)
			}
			f.onPut = func(letters []deadletter.Letter) error {
				if letters[0].Block == 21 {
					forks++
				}
				return nil
			}
			if staged {
				r.refuseStaged(g)
			}
			stop := r.start()
			time.Sleep(time.Minute)
			synctest.Wait()
			r.stopped(stop, log)
			if got := f.rows(); !slices.Equal(got, aside) {
				t.Errorf("put aside are %v, want %v", got, aside)
			}
			r.wantCovered(block.Closed(10, 29))
			if staged {
				return // the stager of the test refuses also what is applied already
			}

			// Everything comes again, as after lost acknowledgements: nothing changes.
			log = r.live(l.all...)
			stop = r.start()
			time.Sleep(time.Minute)
			synctest.Wait()
			r.stopped(stop, log)
			if got := f.rows(); !slices.Equal(got, aside) {
				t.Errorf("after the lane came again, put aside are %v, want %v", got, aside)
			}
		})
	}
	t.Run("direct", func(t *testing.T) { run(t, false) })
	t.Run("staged", func(t *testing.T) { run(t, true) })
}

// TestTheLiveLaneTakesLettersOfHistoryBack: what history has put aside above the live
// start is of another fork, perhaps.
func TestTheLiveLaneTakesLettersOfHistoryBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		r.log.append(queue.Message{Entry: encoded(t, logSchema, upTo(20), 1), Seq: 900}) // behind the live lane's
		f := r.putAside()
		r.refuse("5.0", "15.0")
		log := r.live()
		stop := r.start()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got, want := f.rows(), []string{"15.0 of row 15", "5.0 of row 5"}; !slices.Equal(got, want) {
			t.Errorf("put aside are %v, want %v", got, want)
		}
		l := newLane(t)
		l.invalidate(10)
		l.data(10, 19, 1)
		l.watermark(10, 19)
		r.store.Faults.Row = nil
		for _, m := range l.all {
			log.append(m)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.stopped(stop, log)
		r.wantAside(f, 1, upTo(20), "5.0 of row 5")
	})
}

// TestPartsOfABlockPutRowsAside each for itself.
func TestPartsOfABlockPutRowsAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var parts []entry.Entry
		for i := range 3 {
			h := entry.Header{Range: block.Closed(0, 0), End: 1, Part: i, Parts: 3, Batch: "0123456789abcdef"}
			parts = append(parts, encode(t, logSchema, h, i*4, i*4+4))
		}
		r := newEnv(t, parts...)
		f := r.putAside()
		r.refuse("0.1", "0.4", "0.11")
		r.runs(time.Minute)
		r.wantAside(f, 12, upTo(1), "0.1 of row 1", "0.11 of row 3", "0.4 of row 0")
	})
}

// refuseStaged has rows refused when they are staged, and not when they are committed.
func (r *env) refuseStaged(g *stager) {
	refuse := r.store.Faults.Row
	r.store.Faults.Row = nil
	g.refuse = func(c sink.Change) error {
		row := 0
		for _, rec := range c.Records {
			blocks, err := sink.BlocksOf(rec, 1)
			if err != nil {
				return err
			}
			texts := rec.Column(0).(*array.String)
			for i := range texts.Len() {
				bad, refused := errors.AsType[*sink.BadRowError](refuse(memsink.Row{Block: blocks.At(i), Values: []any{texts.Value(i)}}))
				if refused {
					return &sink.BadRowError{Block: blocks.At(i), Row: row + i, Column: bad.Column, Reason: bad.Reason}
				}
			}
			row += texts.Len()
		}
		return nil
	}
}

// TestStagedRowsArePutAside before the commit that they would have been in.
func TestStagedRowsArePutAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, g := stagingEnv(t, entries(t, 5, 10)...)
		f := r.putAside()
		r.refuse("23.4", "29.9")
		r.refuseStaged(g)
		g.onCommit = func() error {
			if len(f.rows()) != 2 {
				t.Errorf("%v are put aside when the others are committed", f.rows())
			}
			return nil
		}
		r.runs(time.Minute)
		r.wantAside(f, 10, upTo(50), "23.4 of row 34", "29.9 of row 99")
		for _, l := range f.all {
			if l.Value == "" {
				t.Errorf("the value of %+v is not shown", l)
			}
		}
	})
}
