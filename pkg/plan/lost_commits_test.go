package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// A destination that goes back behind what it has acknowledged is given a new epoch:
// the log holds the entries, but would never deliver them again. One that only has not
// acknowledged, or not reported yet, is left alone.
func TestADestinationThatWasSetBack(t *testing.T) {
	t.Parallel()
	d := newLiveEnv(t, "warehouse", "cache")
	var marks []uint64
	d.publish(entry.Invalidate, block.Closed(800, 800))
	for _, r := range []block.Range{block.Closed(800, 820), block.Closed(821, 840), block.Closed(841, 900)} {
		marks = append(marks, d.publish(entry.Watermark, r))
	}
	d.reached(state.LiveRunning, marks[2], 901)
	messages := make(map[string][]*queue.Message)
	for _, sink := range []string{"warehouse", "cache"} {
		c, err := d.Log.Consume(t.Context(), sink, queue.ConsumeOptions{Lanes: queue.Live})
		must(t, err)
		t.Cleanup(c.Close)
		for range 4 {
			m, err := c.Next(t.Context())
			must(t, err)
			messages[sink] = append(messages[sink], m)
		}
	}
	acknowledge := func(sink string, entries int) {
		for _, m := range messages[sink][:entries] {
			must(t, m.Ack())
		}
		messages[sink] = messages[sink][entries:]
	}
	says := func(warehouse, cache uint64, at block.Number) {
		d.reports("warehouse", d.mark(warehouse, 800, 900))
		d.reports("cache", d.mark(cache, 800, at))
		d.next()
	}
	d.run()
	acknowledge("warehouse", 4)
	acknowledge("cache", 2)
	for range 4 {
		says(marks[2], marks[0], 820) // cache has committed what it has acknowledged
	}
	acknowledge("cache", 2)
	d.until("the acknowledgements are seen", func(s plan.Status) bool { return s.Sinks[1].Live.AckFloor >= marks[2] })
	says(marks[2], marks[0], 820) // its report is late
	says(marks[2], marks[2], 900)
	for range 4 {
		says(marks[2], marks[2], 900)
	}
	if s := d.stored(); s.Epoch != 1 {
		t.Fatalf("epoch %d begins though nothing is lost", s.Epoch)
	}
	for range 4 { // set back
		says(marks[2], marks[1], 840)
	}
	if s := d.stored(); s.Epoch != 2 || s.Live.Start != 841 {
		t.Errorf("epoch %d from %d, want 2 from 841", s.Epoch, s.Live.Start)
	}
}

// lane is a live lane of an epoch with the watermarks of blocks 820, 840 and 900, which
// two sinks read.
type lane struct {
	*liveEnv
	marks []uint64
	first uint64 // the invalidation that begins it
}

func newLane(t *testing.T, epoch uint64) *lane {
	d := &lane{liveEnv: newLiveEnv(t, "warehouse", "cache")}
	d.spec.Epoch = epoch
	d.first = d.publish(entry.Invalidate, block.Closed(800, 800))
	for _, r := range []block.Range{block.Closed(800, 820), block.Closed(821, 840), block.Closed(841, 900)} {
		d.marks = append(d.marks, d.publish(entry.Watermark, r))
	}
	d.reached(state.LiveRunning, d.marks[2], 901)
	return d
}

// acknowledge plays a sink that has committed so many entries.
func (d *lane) acknowledge(sink string, entries int) {
	d.t.Helper()
	c, err := d.Log.Consume(d.t.Context(), sink, queue.ConsumeOptions{Lanes: queue.Live})
	must(d.t, err)
	for range entries {
		m, err := c.Next(d.t.Context())
		must(d.t, err)
		if m.Damaged != nil {
			must(d.t, m.Term("not an entry"))
			continue
		}
		must(d.t, m.Ack())
	}
	c.Close()
}

// has is what a sink has of the lane: the watermark at a sequence.
func (d *lane) has(epoch, seq uint64, last block.Number) state.LiveState {
	mark := d.mark(seq, 800, last)
	mark.Epoch = epoch
	return mark
}

// delete removes a message as an operator, or a damaged disk, does.
func (d *lane) delete(seq uint64) {
	d.t.Helper()
	js, err := jetstream.New(d.nats())
	must(d.t, err)
	stream, err := js.Stream(d.t.Context(), "AMPIPE_LOG_test")
	must(d.t, err)
	must(d.t, stream.DeleteMsg(d.t.Context(), seq))
}

// nats is a connection of somebody else.
func (d *env) nats() *nats.Conn {
	d.t.Helper()
	c, err := nats.Connect(d.server.URL())
	must(d.t, err)
	d.t.Cleanup(c.Close)
	return c
}

// inject publishes as somebody else.
func (d *lane) inject(m *nats.Msg) {
	d.t.Helper()
	js, err := jetstream.New(d.nats())
	must(d.t, err)
	must(d.t, second(js.PublishMsg(d.t.Context(), m)))
}

// TestABrokenLaneBeginsAgain, whatever has broken it, without a hand, and once.
func TestABrokenLaneBeginsAgain(t *testing.T) {
	whole := func(d *lane) state.LiveState { return d.has(2, d.marks[2], 900) }
	for name, c := range map[string]struct {
		trouble func(d *lane) (warehouse, cache state.LiveState)
		start   block.Number
	}{
		"set back to an epoch before": {func(d *lane) (state.LiveState, state.LiveState) {
			return whole(d), d.has(1, 7, 830)
		}, 831},
		"set back to before the live lane": {func(d *lane) (state.LiveState, state.LiveState) {
			return whole(d), state.LiveState{}
		}, 901},
		"all set back to before the live lane": {func(d *lane) (state.LiveState, state.LiveState) {
			return state.LiveState{}, state.LiveState{}
		}, 800},
		"set back to the first entry": {func(d *lane) (state.LiveState, state.LiveState) {
			return whole(d), state.LiveState{Started: true, Epoch: 2, Seq: d.first, Start: 800, Cursor: d.chain.at(799)}
		}, 800},
		"both set back": {func(d *lane) (state.LiveState, state.LiveState) {
			return d.has(2, d.marks[1], 840), d.has(1, 7, 830)
		}, 831},
		"an entry is lost": {func(d *lane) (state.LiveState, state.LiveState) {
			d.delete(d.marks[1])
			return whole(d), d.has(2, d.marks[0], 820)
		}, 821},
		"the first entry is lost": {func(d *lane) (state.LiveState, state.LiveState) {
			d.delete(d.first)
			return whole(d), d.has(1, 7, 830)
		}, 831},
		"the last entry is lost, and a sink has it": {func(d *lane) (state.LiveState, state.LiveState) {
			d.delete(d.marks[2])
			return whole(d), d.has(2, d.marks[1], 840)
		}, 841},
		"the last entry is lost, and no sink has it": {func(d *lane) (state.LiveState, state.LiveState) {
			d.delete(d.marks[2])
			return d.has(2, d.marks[1], 840), d.has(2, d.marks[1], 840)
		}, 841},
		"all entries are lost, and no sink has any": {func(d *lane) (state.LiveState, state.LiveState) {
			must(d.t, d.Log.TrimLanes(d.t.Context(), queue.Live, d.marks[2]))
			return d.has(1, 7, 830), d.has(1, 7, 830)
		}, 831},
		"a payload is damaged": {func(d *lane) (state.LiveState, state.LiveState) {
			// The sinks have ended it, which nobody else can see.
			return d.has(2, d.marks[1], 840), d.has(2, d.marks[1], 840)
		}, 841},
		"somebody else has published to the lane": {func(d *lane) (state.LiveState, state.LiveState) {
			d.inject(&nats.Msg{Subject: "ampipe.log.test.live", Data: []byte("hello")})
			d.acknowledge("warehouse", 1)
			return whole(d), whole(d)
		}, 901},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newLane(t, 2)
			d.acknowledge("warehouse", 4)
			if !strings.Contains(name, "lost") { // else it has not got so far
				d.acknowledge("cache", 4)
			}
			d.run()
			warehouse, cache := c.trouble(d)
			for limit := time.Now().Add(20 * time.Second); d.stored().Epoch == 2; {
				if time.Now().After(limit) {
					t.Fatal("no epoch begins")
				}
				d.reports("warehouse", warehouse)
				d.reports("cache", cache)
				d.next()
			}
			if s := d.stored(); s.Epoch != 3 || s.Live.Start != c.start {
				t.Errorf("epoch %d from %d, want 3 from %d", s.Epoch, s.Live.Start, c.start)
			}
			for range 4 {
				d.reports("warehouse", warehouse)
				d.reports("cache", cache)
				d.next()
			}
			if s := d.stored(); s.Epoch != 3 {
				t.Errorf("epoch %d", s.Epoch)
			}
		})
	}
}

// TestALaneThatIsNotBrokenGoesOn: a sink is slow, its destination cannot be read, or it
// does not know what a newer version has written.
func TestALaneThatIsNotBrokenGoesOn(t *testing.T) {
	for name, tell := range map[string]func(d *lane){
		"what it has acknowledged is not reported yet, for its destination is away": func(d *lane) {
			if s := d.next(); s.Sinks[1].Live.AckFloor < d.marks[1] {
				d.acknowledge("cache", 3)
			}
			must(d.t, d.State.PutReport(d.t.Context(), state.SinkReport{
				Name: "cache", Live: d.has(2, d.marks[0], 820), State: "paused", Reason: "connection refused",
				Read: time.Unix(1, 0), Updated: time.Now(),
			}))
		},
		"it is in the epoch before, and has acknowledged nothing": func(d *lane) {
			d.reports("cache", d.has(1, 7, 830))
		},
		"it has nothing yet": func(d *lane) {
			d.reports("cache", state.LiveState{})
		},
		"a newer version writes the lane": func(d *lane) {
			m := nats.NewMsg("ampipe.log.test.live")
			m.Header = nats.Header(entry.Header{Kind: "snapshot", Epoch: 2, Range: block.Closed(901, 910)}.Map())
			m.Header.Set("Nats-Expected-Last-Subject-Sequence", fmt.Sprint(d.seq))
			d.inject(m)
			d.seq++
			d.reports("cache", d.has(2, d.marks[2], 900))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newLane(t, 2)
			d.acknowledge("warehouse", 4)
			d.acknowledge("cache", 0)
			d.run()
			for range 6 {
				d.reports("warehouse", d.has(2, d.marks[2], 900))
				tell(d)
				d.next()
			}
			if s := d.stored(); s.Epoch != 2 {
				t.Errorf("epoch %d has begun for nothing", s.Epoch)
			}
		})
	}
}

// TestADoneLaneThatLostItsEnd: max_block was reached, a sink has dealt with everything
// that the log has, and lacks blocks below max_block, which nothing else would bring.
func TestADoneLaneThatLostItsEnd(t *testing.T) {
	for name, mark := range map[string]func(d *lane) state.LiveState{
		"after the last watermark":        func(d *lane) state.LiveState { return d.has(2, d.marks[2], 900) },
		"and the sink has joined it late": func(*lane) state.LiveState { return state.LiveState{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newLane(t, 2)
			end := block.Number(905)
			d.spec.MaxBlock = &end
			d.save(state.LivePosition{Epoch: 2, Seq: d.marks[2], Next: end, Phase: state.LiveDone, Until: &end})
			d.acknowledge("warehouse", 4)
			d.acknowledge("cache", 4)
			d.run()
			for limit := time.Now().Add(20 * time.Second); d.stored().Epoch == 2; {
				if time.Now().After(limit) {
					t.Fatal("no epoch begins")
				}
				d.reports("warehouse", d.has(2, d.marks[2], 900), block.Range{Start: 700, End: 905})
				d.reports("cache", mark(d), block.Range{Start: 700, End: 800}, block.Range{Start: 800, End: 901})
				d.next()
			}
			if s := d.stored(); s.Live.Start != 901 {
				t.Errorf("the epoch begins at %d", s.Live.Start)
			}
		})
	}
}
