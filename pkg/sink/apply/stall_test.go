package apply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestALiveLaneThatStandsStill is told of within a minute, with what is lacking, and no
// longer when it moves.
func TestALiveLaneThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		l := story(t)
		r.apply(l.all[:3]...)
		log := r.live(l.all[4:]...) // the one between is lost
		stop := r.start()
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if len(r.watch.paused()) > 0 {
			t.Errorf("told too early: %q", r.watch.paused())
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		want := "live entry 55 follows entry 52, which the destination lacks: its last"
		if len(r.watch.paused()) != 1 || !strings.HasPrefix(r.watch.paused()[0], want) {
			t.Errorf("told %q, want %q", r.watch.paused(), want)
		}
		if last := r.watch.reports[len(r.watch.reports)-1]; !strings.HasPrefix(last.Reason, want) {
			t.Errorf("report %+v", last)
		}
		log.append(l.all[3])
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.wantStory()
		if r.watch.resumed() != 1 {
			t.Errorf("%d resumes", r.watch.resumed())
		}
		r.stopped(stop, log)
	})
}

// TestALongTransaction is told of as what it is.
func TestALongTransaction(t *testing.T) {
	for _, live := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newEnv(t, entries(t, 3, 1)...)
			log := r.log
			if live {
				r.log = newFakeLog()
				r.loop.Source = r.log
				log = r.live(story(t).all...)
			}
			r.store.Faults.Begin = func(context.Context, []sink.Change) error {
				time.Sleep(2 * time.Minute)
				return nil
			}
			stop := r.start()
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(r.watch.paused()) != 1 || !strings.Contains(r.watch.paused()[0], "a transaction of") {
				t.Errorf("told %q", r.watch.paused())
			}
			time.Sleep(75 * time.Second)
			synctest.Wait()
			if r.watch.resumed() != 1 {
				t.Errorf("%d resumes", r.watch.resumed())
			}
			time.Sleep(time.Hour)
			r.stopped(stop, log)
		})
	}
}

// TestNothingIsToldOfALoopThatMoves, however slowly, has nothing to do, or has told
// another reason.
func TestNothingIsToldOfALoopThatMoves(t *testing.T) {
	t.Run("slowly", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newEnv(t, entries(t, 30, 1)...)
			r.loop.Rows = 1
			l := story(t)
			log := r.live(l.all...)
			r.store.Faults.Begin = func(context.Context, []sink.Change) error {
				time.Sleep(25 * time.Second)
				return nil
			}
			stop := r.start()
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(r.watch.paused()) > 0 {
				t.Errorf("told %q", r.watch.paused())
			}
			r.stopped(stop, r.log, log)
		})
	})
	t.Run("idle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newEnv(t)
			l := newLane(t)
			log := r.live(l.invalidate(10))
			stop := r.start()
			for n := range block.Number(3) {
				time.Sleep(time.Hour)
				log.append(l.data(10+n, 10+n, 1))
				log.append(l.watermark(10+n, 10+n))
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(r.watch.paused()) > 0 {
				t.Errorf("told %q", r.watch.paused())
			}
			r.stopped(stop, log)
		})
	})
	t.Run("paused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newEnv(t)
			log := r.live(story(t).all...)
			back := time.Now().Add(10 * time.Minute)
			r.store.Faults.Begin = func(context.Context, []sink.Change) error {
				if time.Now().Before(back) {
					return fault.Later(errors.New("connection refused"), 0)
				}
				return nil
			}
			stop := r.start()
			time.Sleep(time.Hour)
			synctest.Wait()
			r.wantStory()
			if len(r.watch.paused()) != 1 || !strings.Contains(r.watch.paused()[0], "connection refused") || r.watch.resumed() != 1 {
				t.Errorf("told %q, %d resumes", r.watch.paused(), r.watch.resumed())
			}
			r.stopped(stop, log)
		})
	})
	t.Run("another process goes on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newEnv(t)
			l := story(t)
			r.apply(l.all[0])
			log := r.live(l.all[2]) // and its predecessor is the other's
			stop := r.start()
			for _, m := range l.all[1:] {
				time.Sleep(20 * time.Second)
				r.apply(m)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(r.watch.paused()) > 0 {
				t.Errorf("told %q", r.watch.paused())
			}
			r.stopped(stop, log)
		})
	})
}

// frozen is a destination that holds its connections and answers nothing, while it is so.
type frozen struct {
	sink.Writer
	so atomic.Bool
}

func (f *frozen) State(ctx context.Context) (sink.State, error) {
	if f.so.Load() {
		<-ctx.Done()
		return sink.State{}, fmt.Errorf("read the state: %w", ctx.Err())
	}
	return f.Writer.State(ctx)
}

// TestADestinationThatAnswersNothing is reported as that, also when a transaction has stood
// still for so long that it is reported itself.
func TestADestinationThatAnswersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 1, 10)...)
		f := &frozen{Writer: r.loop.Writer}
		r.loop.Writer = f
		r.store.Faults.Begin = func(context.Context, []sink.Change) error {
			f.so.Store(true)
			time.Sleep(time.Minute)
			f.so.Store(false)
			return nil
		}
		stop := r.start()
		for _, want := range []string{
			"the destination has not answered within 2s: read the state: ",
			"a transaction of 1 entries from block 0 on has been running since 00:00:00 UTC; the destination has not answered within 2s: ",
		} {
			time.Sleep(25 * time.Second)
			synctest.Wait()
			reports := r.watch.reported()
			if last := reports[len(reports)-1]; last.State != state.SinkPaused || !strings.HasPrefix(last.Reason, want) {
				t.Errorf("reported was %v: %s, want %s", last.State, last.Reason, want)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		reports := r.watch.reported()
		if last := reports[len(reports)-1]; last.State != state.SinkRunning {
			t.Errorf("it answers, and was reported as %v: %s", last.State, last.Reason)
		}
		r.stopped(stop, r.log)
	})
}
