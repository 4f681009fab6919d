package apply_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestLiveRowsAreCommittedWithTheirWatermark, which the log has a moment later, and do not
// wait long for one that does not come.
func TestLiveRowsAreCommittedWithTheirWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		l := newLane(t)
		log := r.live(l.invalidate(10))
		stop := r.start()
		synctest.Wait()
		before := len(r.watch.sizes())
		for n := block.Number(10); n < 20; n++ {
			log.append(l.data(n, n, 1))
			time.Sleep(2 * time.Millisecond) // the log stores the next
			log.append(l.watermark(n, n))
			synctest.Wait()
			if got := r.store.CommitState().Live.Cursor.Number; got != n {
				t.Errorf("the cursor is at block %d, want %d", got, n)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := len(r.watch.sizes()) - before; n != 10 {
			t.Errorf("10 blocks took %d transactions", n)
		}
		begin := time.Now()
		log.append(l.data(20, 20, 1))
		for len(r.watch.sizes()) == before+10 {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(begin); took > 10*time.Millisecond {
			t.Errorf("rows without a watermark waited for %s", took)
		}
		r.stopped(stop, r.log, log)
	})
}

// TestRowsThatCloseTheirRangeWaitForNothing: no other entry is to come that could join them.
func TestRowsThatCloseTheirRangeWaitForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		l := newLane(t)
		log := r.live(l.invalidate(10))
		stop := r.start()
		synctest.Wait()
		before := len(r.watch.sizes())
		for n := block.Number(10); n < 20; n++ {
			begin := time.Now()
			log.append(l.complete(n, n, 1))
			synctest.Wait()
			if got := r.store.CommitState().Live; got.Cursor.Number != n || !time.Now().Equal(begin) {
				t.Errorf("%v after block %d the destination is at %+v", time.Since(begin), n, got)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := len(r.watch.sizes()) - before; n != 10 {
			t.Errorf("10 blocks took %d transactions", n)
		}
		if steps := r.watch.steps(); len(steps) != 10 || steps[9] != "has [19, 20)" {
			t.Errorf("the observer was told %q", steps)
		}
		r.stopped(stop, r.log, log)
	})
}

// TestReportsOfTheLiveLane: one in two seconds if nobody waits for them, and soon if the lane has
// an end, since the pipeline then ends with the last.
func TestReportsOfTheLiveLane(t *testing.T) {
	for name, c := range map[string]struct {
		end         block.Number
		every       time.Duration // between two blocks
		least, most int           // reports in 20 s
		late        time.Duration // of the last rows
	}{
		"without an end":              {0, 250 * time.Millisecond, 9, 12, 2 * time.Second},
		"without an end, a slow one":  {0, 12 * time.Second, 2, 6, 250 * time.Millisecond},
		"with an end":                 {1000, 250 * time.Millisecond, 70, 85, 250 * time.Millisecond},
		"with an end, at its highest": {1000, 10 * time.Millisecond, 70, 85, 250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEnv(t)
				l := newLane(t)
				log := r.live(l.invalidate(10))
				stop := r.start()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				_ = r.watch.reported()
				begin := time.Now()
				n := block.Number(10)
				for ; time.Since(begin) < 20*time.Second; n++ {
					m := l.data(n, n, 1)
					m.End = c.end
					log.append(m)
					log.append(l.watermark(n, n))
					time.Sleep(c.every)
					synctest.Wait()
				}
				reports := r.watch.reported()
				if len(reports) < c.least || len(reports) > c.most {
					t.Errorf("%d reports of %d blocks, want %d to %d", len(reports), n-10, c.least, c.most)
				}
				m := l.data(n, n, 1)
				m.End = c.end
				written := time.Now()
				log.append(m)
				log.append(l.watermark(n, n))
				time.Sleep(c.late)
				synctest.Wait()
				last := func() (s state.SinkReport) {
					for _, s = range r.watch.reported() {
					}
					return s
				}()
				if last.Live.Cursor.Number != n {
					t.Errorf("%v after block %d was written, block %d is reported", time.Since(written), n, last.Live.Cursor.Number)
				}
				r.stopped(stop, r.log, log)
			})
		})
	}
}
