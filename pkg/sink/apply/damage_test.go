package apply_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
)

// harms are ways in which an entry of data that parses can be damaged.
var harms = map[string]func(*queue.Message){
	"half a payload":             func(m *queue.Message) { m.Payload = m.Payload[:len(m.Payload)/2] },
	"a payload of another codec": func(m *queue.Message) { m.Codec = entry.Zstd },
	"too few rows":               func(m *queue.Message) { m.Rows-- },
	"another fingerprint":        func(m *queue.Message) { m.Schema = strings.Repeat("0", 32) },
	"rows outside the range":     func(m *queue.Message) { m.Range.Start, m.Range.End = m.Range.Start+1, m.Range.End+1 },
	"a foreign message": func(m *queue.Message) {
		*m = queue.Message{Seq: m.Seq, Lane: m.Lane, After: m.Seq - 1, Damaged: errors.New("header Ampipe-Kind is \"\": it is required")}
	},
}

// TestADamagedEntryOfHistory is ended, and keeps nothing else from being committed: its
// blocks are missing, and the planner sees that.
func TestADamagedEntryOfHistory(t *testing.T) {
	harms["of a kind that has no place there"] = func(m *queue.Message) { m.Kind, m.Payload = entry.Watermark, nil }
	defer delete(harms, "of a kind that has no place there")
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEnv(t)
				for i, e := range entries(t, 4, 10) {
					m := queue.Message{Entry: e, Seq: uint64(i + 1)}
					if i == 2 {
						harm(&m)
					}
					r.log.append(m)
				}
				stop := r.start()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				r.stopped(stop, r.log)
				r.wantBlocks(10, upTo(20), block.Range{Start: 30, End: 40})
				if bad := r.log.all[2]; bad.ended != 1 || bad.delivered != 1 {
					t.Errorf("the damaged entry was ended %d times and delivered %d times", bad.ended, bad.delivered)
				}
			})
		})
	}
}

// TestTheEndOfALane covers nothing and is acknowledged, between other entries.
func TestTheEndOfALane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		for i, e := range entries(t, 4, 10) {
			m := queue.Message{Entry: e, Seq: uint64(i + 1)}
			if i == 2 {
				m.Kind, m.Payload = entry.Ended, nil
			}
			r.log.append(m)
		}
		stop := r.start()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.stopped(stop, r.log)
		r.wantBlocks(10, upTo(20), block.Range{Start: 30, End: 40})
		if m := r.log.all[2]; m.acked != 1 || m.ended != 0 || m.delivered != 1 {
			t.Errorf("the end of the lane was acknowledged %d times, ended %d times and delivered %d times", m.acked, m.ended, m.delivered)
		}
	})
}

// TestADamagedLiveEntry is ended and told of at once; nothing is applied after it until
// an epoch has begun, and then the reason is gone.
func TestADamagedLiveEntry(t *testing.T) {
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newEnv(t)
				l := story(t)
				r.apply(l.all[0])
				harmed := slices.Clone(l.all[1:])
				harm(&harmed[3])
				log := r.live(harmed...)
				stop := r.start()
				time.Sleep(2 * time.Second)
				synctest.Wait()
				r.wantRows(map[block.Range]int{block.Closed(10, 20): 1})
				if bad := log.all[3]; bad.ended != 1 {
					t.Errorf("the damaged entry was ended %d times", bad.ended)
				}
				if n := len(r.watch.paused()); n != 1 || !strings.Contains(r.watch.paused()[0], "damaged") && !strings.Contains(r.watch.paused()[0], "Ampipe-Kind") {
					t.Errorf("told %q", r.watch.paused())
				}
				log.append(l.begin(15))
				log.append(l.data(15, 29, 2))
				time.Sleep(10 * time.Second)
				synctest.Wait()
				r.wantRows(map[block.Range]int{block.Closed(10, 14): 1, block.Closed(15, 29): 2})
				if r.watch.resumed() != 1 {
					t.Errorf("%d resumes", r.watch.resumed())
				}
				r.stopped(stop, log)
				if last := r.watch.reports[len(r.watch.reports)-2]; last.Reason != "" || last.State != "running" {
					t.Errorf("report %+v", last)
				}
			})
		})
	}
}

// TestDamagedPartsOfABlock are counted each for itself.
func TestDamagedPartsOfABlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		read := func(harm bool) {
			for i := range 4 {
				e := encode(t, logSchema, entry.Header{Range: upTo(1), Part: i, Parts: 4, Batch: "0123456789abcdef"}, i, i+1)
				if harm {
					e.Rows++
				}
				r.log.add(e)
			}
		}
		stop := r.start()
		for range 2 {
			read(true)
		}
		read(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.stopped(stop, r.log)
		r.wantBlocks(4, upTo(1))
	})
}

// TestBlocksThatAlwaysComeDamaged end the sink: they are not read again for ever.
func TestBlocksThatAlwaysComeDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		for i := range 3 { // cut otherwise each time
			e := encoded(t, logSchema, block.Closed(10+block.Number(i), 20), 1)
			e.Rows++
			r.log.add(e)
		}
		err := r.fails()
		for _, text := range []string{"the third time", "blocks [12, 21)", "look at the memory"} {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%q is not in: %v", text, err)
			}
		}
		for i, m := range r.log.all {
			if want := min(1, 2-i); m.ended != max(0, want) {
				t.Errorf("entry %d was ended %d times", i, m.ended)
			}
		}
	})
}

// TestADamagedEntryThatComesTwice, because its end was not heard, counts once.
func TestADamagedEntryThatComesTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		e := encoded(t, logSchema, upTo(10), 1)
		e.Rows++
		for range 5 {
			r.log.append(queue.Message{Entry: e, Seq: 7})
		}
		stop := r.start()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.stopped(stop, r.log)
	})
}

// TestAnEntryOfANewerVersion ends the sink with advice. It is not damaged, and stays.
func TestAnEntryOfANewerVersion(t *testing.T) {
	newer := func(t *testing.T, e entry.Entry) error {
		headers := e.Map()
		headers["Ampipe-Codec"] = []string{"brotli"}
		_, err := entry.Parse(headers, e.Payload)
		if !entry.Newer(err) {
			t.Errorf("%v is not taken for that of a newer version", err)
		}
		delete(headers, "Ampipe-Epoch")
		if _, err := entry.Parse(headers, e.Payload); err == nil || entry.Newer(err) {
			t.Errorf("%v is taken for that of a newer version", err)
		}
		return err
	}
	for _, live := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newEnv(t)
			log := r.log
			if live {
				log = r.live()
			}
			e := encoded(t, logSchema, upTo(10), 1)
			m := log.append(queue.Message{Seq: 1, Lane: laneOf(live), Damaged: newer(t, e)})
			if err := r.fails(); !strings.Contains(err.Error(), "run this sink with the version of ampipe that writes the log") {
				t.Error(err)
			}
			if m.ended > 0 || m.acked > 0 {
				t.Errorf("the entry was ended %d times and acknowledged %d times", m.ended, m.acked)
			}
		})
	}
}
