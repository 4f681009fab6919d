package plan_test

import (
	"fmt"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// acknowledgeLive has a sink acknowledge entries of the live lane.
func (d *liveEnv) acknowledgeLive(sink string, entries int) {
	d.t.Helper()
	consumer, err := d.Log.Consume(d.t.Context(), sink, queue.ConsumeOptions{Lanes: queue.Live})
	must(d.t, err)
	defer consumer.Close()
	for range entries {
		m, err := consumer.Next(d.t.Context())
		must(d.t, err)
		must(d.t, m.Ack())
	}
}

// TestTrimKeepsTheLastWatermark: the next writer of the lane begins there.
func TestTrimKeepsTheLastWatermark(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	d.publish(entry.Invalidate, block.Closed(800, 800))
	d.publish(entry.Watermark, block.Closed(800, 820))
	last := d.publish(entry.Watermark, block.Closed(821, 840))
	p := part(700, 800, 1, state.PartitionDone)
	e, err := d.encoder.Encode(entry.Header{Kind: entry.Data, Network: "mainnet", Epoch: 1, Range: p.Range(), End: p.End}, nil)
	must(t, err)
	must(t, second(d.Log.Publish(t.Context(), p.Lane(), 0, "history", entry.Group{e})))
	d.reached(state.LiveRunning, last, 841)
	d.apply(1, all)
	d.acknowledgeLive("warehouse", 3)
	d.run()
	d.reports("warehouse", d.mark(last, 800, 840), block.Range{Start: 700, End: 841})
	d.until("the log is trimmed", func(plan.Status) bool {
		state, err := d.Log.State(t.Context())
		must(t, err)
		return state.First == last
	})
	d.next()
	tail, err := d.Log.Tail(t.Context(), queue.LiveLane)
	must(t, err)
	if !tail.Found || tail.Seq != last || tail.Entry.Kind != entry.Watermark {
		t.Errorf("the lane ends with %+v", tail)
	}
	if s := d.stored(); s.Epoch != 1 {
		t.Errorf("epoch %d", s.Epoch)
	}
}

// TestTrimLeavesALaneWhosePositionIsNotRecorded: its writer has begun a moment ago, and it is
// not known which watermark it resumes from. That holds also when the log is nearly full:
// only the partitions' entries go then.
func TestTrimLeavesALaneWhosePositionIsNotRecorded(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	first := d.publish(entry.Invalidate, block.Closed(800, 800))
	d.publish(entry.Watermark, block.Closed(800, 819))
	last := d.publish(entry.Watermark, block.Closed(820, 839))
	p := part(700, 800, 1, state.PartitionDone)
	const fillers = 9
	for i := range fillers {
		e := entry.Entry{Header: entry.Header{Kind: entry.Data, Codec: entry.None, Network: "mainnet", Epoch: 1, Schema: "0123456789abcdef", Range: p.Range(), End: p.End}, Payload: make([]byte, 7<<20)}
		must(t, second(d.Log.Publish(t.Context(), fmt.Sprintf("p.%d.9", i), 0, "filler", entry.Group{e})))
	}
	log, err := d.Log.State(t.Context())
	must(t, err)
	if log.Bytes <= uint64(log.MaxBytes)/10*9 {
		t.Fatalf("%d of %d bytes are not nearly full", log.Bytes, log.MaxBytes)
	}
	d.apply(fillers, all)
	d.acknowledgeLive("warehouse", 3)
	d.reports("warehouse", d.mark(last, 800, 839), block.Range{Start: 700, End: 840})
	d.run()
	d.until("the partitions' entries are trimmed", func(plan.Status) bool {
		log, err = d.Log.State(t.Context())
		must(t, err)
		return log.Bytes < 1<<20
	})
	if log.First != first || log.Messages != 3 {
		t.Errorf("the log has %d messages from %d on, want the three of the lane, from %d on", log.Messages, log.First, first)
	}
}

// TestTrimWaitsForTheSlowestReport: acknowledgements are ahead of reports, and by the
// reports it is judged whether a sink lacks what was trimmed. They also say it of a sink
// whose position was lost with the server, and whose destination is away.
func TestTrimWaitsForTheSlowestReport(t *testing.T) {
	t.Run("acknowledged", func(t *testing.T) { waitsForTheSlowestReport(t, true) })
	t.Run("without a position", func(t *testing.T) { waitsForTheSlowestReport(t, false) })
}

func waitsForTheSlowestReport(t *testing.T, position bool) {
	d := newLiveEnv(t, "warehouse", "cache")
	var seqs []uint64
	for n := block.Number(800); n < 840; n += 10 {
		seqs = append(seqs, d.publish(entry.Watermark, block.Closed(n, n+9)))
	}
	reported, last := seqs[1], seqs[3]
	d.reached(state.LiveRunning, last, 840)
	p := part(700, 800, 1, state.PartitionDone)
	e, err := d.encoder.Encode(entry.Header{Kind: entry.Data, Network: "mainnet", Epoch: 1, Range: p.Range(), End: p.End}, nil)
	must(t, err)
	must(t, second(d.Log.Publish(t.Context(), p.Lane(), 0, "history", entry.Group{e})))
	for _, sink := range []string{"warehouse", "cache"} {
		for lanes, entries := range map[queue.Lanes]int{queue.History: 1, queue.Live: len(seqs)} {
			if lanes == queue.Live && sink == "cache" && !position {
				continue
			}
			consumer, err := d.Log.Consume(t.Context(), sink, queue.ConsumeOptions{Lanes: lanes})
			must(t, err)
			for range entries {
				m, err := consumer.Next(t.Context())
				must(t, err)
				must(t, m.Ack())
			}
			consumer.Close()
		}
	}
	whole := block.Range{Start: 700, End: 840}
	d.reports("warehouse", d.mark(last, 800, 839), whole)
	d.reports("cache", d.mark(reported, 800, 819), block.Range{Start: 700, End: 820})
	first := func() uint64 {
		state, err := d.Log.State(t.Context())
		must(t, err)
		return state.First
	}
	d.run()
	d.until("the log is trimmed", func(plan.Status) bool { return first() > 1 })
	d.next()
	if got := first(); got != reported+1 {
		t.Errorf("the log begins with %d, and a sink has reported up to %d only", got, reported)
	}
	d.reports("cache", d.mark(last, 800, 839), whole)
	d.until("the rest is trimmed", func(plan.Status) bool { return first() == last })
	if s := d.stored(); s.Epoch != 1 {
		t.Errorf("epoch %d has begun for nothing", s.Epoch)
	}
}

// TestASinkThatIsOutDoesNotHoldACrowdedLog: one that has failed, or that a person has
// paused. As long as there is room it does, and one that waits always does. What it lacks
// then is no reason for an epoch before it is back.
func TestASinkThatIsOutDoesNotHoldACrowdedLog(t *testing.T) {
	for name, out := range map[string]state.SinkReport{
		"failed": {State: state.SinkFailed, Reason: "block 810 is refused"},
		"paused": {State: state.SinkPaused, Reason: "paused by a person", ByRequest: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			holdsNoCrowdedLog(t, out)
		})
	}
}

func holdsNoCrowdedLog(t *testing.T, out state.SinkReport) {
	d := newLiveEnv(t, "warehouse", "cache")
	var seqs []uint64
	for n := block.Number(800); n < 840; n += 10 {
		seqs = append(seqs, d.publish(entry.Watermark, block.Closed(n, n+9)))
	}
	last := seqs[3]
	d.reached(state.LiveRunning, last, 840)
	for sink, entries := range map[string]int{"warehouse": len(seqs), "cache": 1} {
		consumer, err := d.Log.Consume(t.Context(), sink, queue.ConsumeOptions{})
		must(t, err)
		consumer.Close()
		consumer, err = d.Log.Consume(t.Context(), sink, queue.ConsumeOptions{Lanes: queue.Live})
		must(t, err)
		for range entries {
			m, err := consumer.Next(t.Context())
			must(t, err)
			must(t, m.Ack())
		}
		consumer.Close()
	}
	report := func(r state.SinkReport) {
		r.Name, r.Live, r.Coverage = "cache", d.mark(seqs[0], 800, 809), block.NewSet(block.Range{Start: 700, End: 810})
		must(t, d.State.PutReport(t.Context(), r))
	}
	d.reports("warehouse", d.mark(last, 800, 839), block.Range{Start: 700, End: 840})
	report(out)
	first := func() uint64 {
		state, err := d.Log.State(t.Context())
		must(t, err)
		return state.First
	}
	d.run()
	s := d.next()
	d.next()
	if first() != seqs[1] {
		t.Errorf("the log begins with %d, want what the sink lacks that is out: there is room", first())
	}
	if failed := s.Sinks[1].Stopped == out.Reason; failed == out.ByRequest || s.Sinks[1].Paused != out.ByRequest || s.Sinks[0].Stopped != "" {
		t.Errorf("stopped are %+v", s.Sinks)
	}

	// Large entries that one of them has not applied make the log crowded.
	p := part(700, 800, 1, state.PartitionDone)
	for i := range 5 {
		e := entry.Entry{Header: entry.Header{Kind: entry.Data, Codec: entry.None, Network: "mainnet", Epoch: 1, Schema: "0123456789abcdef", Range: p.Range(), End: p.End}, Payload: make([]byte, 7<<20)}
		must(t, second(d.Log.Publish(t.Context(), fmt.Sprintf("p.%d.9", i), 0, "filler", entry.Group{e})))
	}
	d.apply(5, all)
	report(state.SinkReport{State: state.SinkPaused, Reason: "connection refused"})
	d.next()
	d.next()
	if first() != seqs[1] {
		t.Errorf("the log begins with %d, want what the sink lacks that waits", first())
	}
	report(out)
	d.until("the log is trimmed", func(plan.Status) bool { return first() == last })
	d.next()
	if s := d.stored(); s.Epoch != 1 {
		t.Errorf("epoch %d has begun for a sink that does not run", s.Epoch)
	}
	report(state.SinkReport{State: state.SinkRunning})
	d.until("an epoch for the sink that is back", func(plan.Status) bool { return d.stored().Epoch > 1 })
}
