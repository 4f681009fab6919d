package plan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

func TestTheLiveTaskIsQueuedWithThePlan(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	d.run()
	s := d.next()
	if want := "sink warehouse has not said yet how far it is: start it, or take it out of the configuration"; s.Live.Waits != want || !s.Live.Follows || s.Live.Start != 800 {
		t.Errorf("live %+v, want that it waits: %s", s.Live, want)
	}
	if d.queued() {
		t.Error("the live lane is begun before it is known how far the sink is")
	}
	d.reports("warehouse", state.LiveState{}) // has nothing of the history yet
	s = d.until("nothing is waited for", func(s plan.Status) bool { return s.Live.Waits == "" })
	if !d.willBeQueued() || s.Complete {
		t.Errorf("the task is not queued; status %+v", s)
	}
	d.reached(state.LiveRunning, 1, 850)
	s = d.until("the lane grows", func(s plan.Status) bool { return s.Live.Next == 850 })
	if s.Complete {
		t.Error("a chain has no end")
	}
}

// TestTheFirstBeginningWaitsForEverySink, however long it is silent: what the lane
// begins with depends on what each holds. Only one that has stopped for good in this
// process is left out.
func TestTheFirstBeginningWaitsForEverySink(t *testing.T) {
	t.Parallel()
	d := newLiveEnv(t, "warehouse", "cache", "gone")
	d.SinkStopped = func(sink string) bool { return sink == "gone" }
	d.run()
	d.reports("warehouse", state.LiveState{})
	for began := time.Now(); time.Since(began) < 6*time.Second; { // one that has begun would not wait so long
		s := d.next()
		if !strings.HasPrefix(s.Live.Waits, "sink cache has not said yet how far it is") || d.queued() {
			t.Fatalf("after %s: queued %v, waits: %q", time.Since(began), d.queued(), s.Live.Waits)
		}
	}
	d.reports("cache", state.LiveState{})
	d.until("the live lane begins", func(s plan.Status) bool { return s.Live.Waits == "" })
	if !d.willBeQueued() {
		t.Error("the task is not queued")
	}
}

// TestALaneThatHasBegunDoesNotWaitForASilentSink: one that is down must not hold up the
// others when a planner starts again.
func TestALaneThatHasBegunDoesNotWaitForASilentSink(t *testing.T) {
	t.Parallel()
	d := newLiveEnv(t, "warehouse", "silent")
	d.reached(state.LiveRunning, 0, 810)
	d.run()
	d.reports("warehouse", state.LiveState{})
	began := time.Now()
	const silent = "sink silent has not said yet how far it is"
	d.until("it waits, and has asked just now", func(s plan.Status) bool { return s.Live.Waits == silent && s.Live.Soon })
	d.until("the sink does not answer", func(s plan.Status) bool { return s.Live.Waits == silent && !s.Live.Soon })
	if took := time.Since(began); took < 1500*time.Millisecond || took > 3*time.Second {
		t.Errorf("that it waits is news after %s", took)
	}
	d.until("the live lane goes on", func(s plan.Status) bool { return s.Live.Follows && s.Live.Waits == "" })
	if took := time.Since(began); !d.willBeQueued() || took < 4*time.Second {
		t.Errorf("queued %v after %s", d.queued(), took)
	}
}

// TestAnAnswerIsHeardAtTheNextLook, not when the live lane would be looked at anyway.
func TestAnAnswerIsHeardAtTheNextLook(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	d.reached(state.LiveRunning, 0, 810)
	d.run()
	d.until("it waits", func(s plan.Status) bool { return s.Live.Waits != "" })
	d.reports("warehouse", state.LiveState{})
	rounds := 0
	d.until("nothing is waited for", func(s plan.Status) bool { rounds++; return s.Live.Waits == "" })
	if rounds > 3 { // one may have been under way, and one not yet taken
		t.Errorf("it took %d rounds", rounds)
	}
}

func TestAfterBackfillWaitsForTheHistory(t *testing.T) {
	d := newLiveEnv(t, "warehouse", "cache")
	d.Config.Live.Start = config.AfterBackfill
	d.run()
	d.reports("warehouse", state.LiveState{}, block.Range{Start: 700, End: 800})
	d.reports("cache", state.LiveState{}, block.Range{Start: 700, End: 750})
	s := d.next()
	if want := "sink cache does not have the whole history yet"; s.Live.Waits != want || d.queued() {
		t.Errorf("queued %v, waits: %q", d.queued(), s.Live.Waits)
	}
	d.reports("cache", state.LiveState{}, block.Range{Start: 700, End: 800})
	d.until("the live lane begins", func(s plan.Status) bool { return s.Live.Waits == "" })
	if !d.willBeQueued() {
		t.Error("the task is not queued")
	}
	// Once begun it continues, also when a sink lacks history again.
	d.reports("cache", state.LiveState{}, block.Range{Start: 700, End: 720})
	if s := d.next(); s.Live.Waits != "" {
		t.Errorf("waits: %q", s.Live.Waits)
	}
}

// TestAfterBackfillCatchesUp: what the chain has grown meanwhile is history, too.
func TestAfterBackfillCatchesUp(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	d.Config.Live.Start = config.AfterBackfill
	d.chain.end = 5000
	d.run()
	d.reports("warehouse", state.LiveState{}, block.Range{Start: 700, End: 800})
	d.until("a partition more", func(s plan.Status) bool {
		return slices.ContainsFunc(s.Partitions, func(p state.Partition) bool { return p.Start == 800 })
	})
	if s := d.stored(); s.Live.Start != 4800 || s.History.End != 4800 || s.Epoch != 1 || s.Live.Points[len(s.Live.Points)-1] != d.chain.at(4799) {
		t.Errorf("plan %+v, origin %+v", s, s.Live)
	}
	if d.queued() {
		t.Error("the live lane begins before the new blocks are there")
	}
}

// TestALateJoinersBlocksAreHistory: those that the live lane had brought before.
func TestALateJoinersBlocksAreHistory(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	d.publish(entry.Invalidate, block.Closed(800, 800))
	at := d.publish(entry.Watermark, block.Closed(800, 860))
	d.reached(state.LiveRunning, at, 861)
	d.apply(0, all) // the sink has its place in the log
	d.run()
	mark := d.mark(at, 850, 860)
	coverage := []block.Range{{Start: 700, End: 800}, {Start: 850, End: 861}}
	d.reports("warehouse", mark, coverage...)
	d.next()
	d.reports("warehouse", mark, coverage...)
	s := d.until("the blocks between are queued", func(s plan.Status) bool { return len(s.Partitions) > 1 })
	for _, p := range s.Partitions {
		if p.Start != 700 && p.Range() != (block.Range{Start: 800, End: 850}) {
			t.Errorf("partition %v", p.Range())
		}
	}
	if spec := d.stored(); spec.Epoch != 1 {
		t.Errorf("epoch %d", spec.Epoch)
	}
}

// TestABoundedChainEnds when every sink has everything below max_block.
func TestABoundedChainEnds(t *testing.T) {
	d := newLiveEnv(t, "warehouse", "cache")
	end := block.Number(900)
	d.spec.MaxBlock = &end
	ended, _ := d.run()
	whole := block.Range{Start: 700, End: 900}
	d.reports("warehouse", d.mark(1, 800, 880), whole)
	d.reports("cache", d.mark(1, 800, 880), block.Range{Start: 700, End: 899})
	d.save(state.LivePosition{Epoch: 1, Next: end, Phase: state.LiveDone, Until: &end})
	if s := d.next(); s.Complete {
		t.Error("complete, though a sink lacks a block")
	}
	d.reports("cache", d.mark(1, 800, 880), whole)
	must(t, d.endsBy(ended))
}

// TestADoneLaneRestsUntilItsEndMoves.
func TestADoneLaneRestsUntilItsEndMoves(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	end := block.Number(900)
	d.spec.MaxBlock = &end
	_, stop := d.run()
	d.reports("warehouse", state.LiveState{}, block.Range{Start: 700, End: 800})
	d.save(state.LivePosition{Epoch: 1, Next: end, Phase: state.LiveDone, Until: &end})
	d.until("the lane is done", func(s plan.Status) bool { return s.Live.Next == end && s.Live.Waits == "" })
	d.next()
	if d.queued() {
		t.Error("a lane that is done is begun again")
	}
	stop()
	spec, rev, err := d.State.LoadSpec(t.Context())
	must(t, err)
	further := block.Number(950)
	spec.MaxBlock = &further
	must(t, second(d.State.SaveSpec(t.Context(), spec, rev)))
	d.run()
	d.reports("warehouse", state.LiveState{}, block.Range{Start: 700, End: 801})
	d.until("the lane goes on", func(plan.Status) bool { return d.queued() })
}

// TestALaneThatIsDoneBeginsAgainForASinkThatMissedIt: it joined when the log no longer
// held the lane, or did not run before that.
func TestALaneThatIsDoneBeginsAgainForASinkThatMissedIt(t *testing.T) {
	d := newLiveEnv(t, "warehouse", "cache")
	end := block.Number(900)
	d.spec.MaxBlock = &end
	d.publish(entry.Invalidate, block.Closed(800, 800))
	last := d.publish(entry.Watermark, block.Closed(800, 899))
	d.save(state.LivePosition{Epoch: 1, Seq: last, Next: end, Phase: state.LiveDone, Until: &end})
	must(t, d.Log.Trim(t.Context(), last-1))
	consumer, err := d.Log.Consume(t.Context(), "cache", queue.ConsumeOptions{Lanes: queue.Live})
	must(t, err)
	m, err := consumer.Next(t.Context())
	must(t, err)
	must(t, m.Ack()) // it closes what this sink has not
	consumer.Close()
	d.run()
	d.reports("warehouse", d.mark(last, 800, 899), block.Range{Start: 700, End: 900})
	d.reports("cache", state.LiveState{}, block.Range{Start: 700, End: 780})
	d.next()
	if s := d.stored(); s.Epoch != 1 {
		t.Fatal("an epoch has begun at once: what the sink lacks may be on its way")
	}
	d.until("an epoch", func(plan.Status) bool {
		d.reports("cache", state.LiveState{}, block.Range{Start: 700, End: 800})
		return d.stored().Epoch > 1
	})
	// All of the lane is within the reach of every other sink: it comes as history.
	d.until("the lane's blocks are queued", func(s plan.Status) bool {
		return slices.ContainsFunc(s.Partitions, func(p state.Partition) bool { return p.Range() == block.Range{Start: 800, End: 900} })
	})
}

// TestALaneThatIsNoMoreWaitsForNothing: the chain has grown beyond max_block while the
// history was loaded, and everything is history.
func TestALaneThatIsNoMoreWaitsForNothing(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	d.Config.Live.Start = config.AfterBackfill
	d.chain.end = 5000
	end := block.Number(900)
	d.spec.MaxBlock = &end
	d.run()
	d.reports("warehouse", state.LiveState{}, block.Range{Start: 700, End: 800})
	d.until("all is history", func(plan.Status) bool { return d.stored().Live == nil })
	d.next()
	if s := d.next(); s.Live != (plan.LiveStatus{}) {
		t.Errorf("the status shows a live lane: %+v", s.Live)
	}
}

// TestTheLaneGoesToMaxBlockForASinkFarBehind, though another has everything: only the
// lane can void what the one that is behind may have of another fork.
func TestTheLaneGoesToMaxBlockForASinkFarBehind(t *testing.T) {
	d := newLiveEnv(t, "warehouse", "cache")
	end := block.Number(30_000)
	d.spec.MaxBlock, d.chain.end = &end, 30_100
	ended, _ := d.run()
	d.publish(entry.Invalidate, block.Closed(800, 800))
	kept := d.publish(entry.Watermark, block.Closed(800, 899))
	d.publish(entry.Watermark, block.Closed(900, 29_998))
	last := d.publish(entry.Watermark, block.Closed(29_999, 29_999))
	d.save(state.LivePosition{Epoch: 1, Seq: last, Next: end, Phase: state.LiveDone, Until: &end})
	must(t, d.Log.Trim(t.Context(), last-1))
	d.reports("warehouse", d.mark(last, 800, 29_999), block.Range{Start: 700, End: end})
	d.reports("cache", d.mark(kept, 800, 899), block.Range{Start: 700, End: 900}) // a backup was restored
	d.until("an epoch", func(plan.Status) bool { return d.stored().Epoch > 1 })
	if s := d.stored(); !s.Follows() || s.Live.Start != 900 {
		t.Errorf("the lane begins at %d, want it to bring what the one lacks, from block 900 on", s.Live.Start)
	}
	select {
	case err := <-ended:
		t.Errorf("the planner has ended, though a sink lacks blocks: %v", err)
	default:
	}
}

// TestWhatALaneHasBroughtToItsEndIsHistory once it begins again where all sinks have
// everything: it brings nothing more to one that comes later, or is set back.
func TestWhatALaneHasBroughtToItsEndIsHistory(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	end := block.Number(900)
	d.spec.MaxBlock = &end
	d.run()
	d.save(state.LivePosition{Epoch: 1, Seq: 7, Next: end, Phase: state.LiveDone, Until: &end}) // lost from the log
	d.reports("warehouse", d.mark(7, 800, 899), block.Range{Start: 750, End: 900})
	d.until("an epoch", func(plan.Status) bool { return d.stored().Epoch > 1 })
	if s := d.stored(); s.Follows() || s.History != (block.Range{Start: 700, End: end}) {
		t.Errorf("follows %v, history %v", s.Follows(), s.History)
	}
}

// TestAnEndBelowTheLane, which the user has set since the lane began: all is history,
// also the blocks that a new pipeline would follow.
func TestAnEndBelowTheLane(t *testing.T) {
	d := newLiveEnv(t, "warehouse")
	d.Config.Source.Query = d.spec.Query
	d.Config.Range = config.Range{MinBlock: 700, ReorgBuffer: 50}
	planned := func() state.Spec {
		c, err := plan.Check(t.Context(), d.chain, d.Config)
		must(t, err)
		s, err := d.Plan(t.Context(), c)
		must(t, err)
		return s
	}
	if s := planned(); s.Live.Start != 950 {
		t.Fatalf("the lane begins at block %d", s.Live.Start)
	}
	end := block.Number(900)
	d.Config.Range.MaxBlock, d.Config.Range.ReorgBuffer = &end, 200
	if s := planned(); s.Follows() || s.History != (block.Range{Start: 700, End: end}) {
		t.Errorf("follows %v, history %v", s.Follows(), s.History)
	}
}

// TestWhatTheLaneHasBroughtIsNotPlannedAtARestart: an epoch that has begun higher up has
// left its blocks to the lane before, and every sink has them.
func TestWhatTheLaneHasBroughtIsNotPlannedAtARestart(t *testing.T) {
	t.Parallel()
	d := newLiveEnv(t, "warehouse")
	d.spec.Schema = schemaOfRows(t)
	d.spec.BlockColumn = "_block_num"
	d.spec.Live.Start, d.spec.Live.Points = 950, []block.Cursor{d.chain.at(949)}
	must(t, second(d.State.SaveSpec(t.Context(), d.spec, 0)))
	query, err := sqlcheck.Parse(d.spec.Query)
	must(t, err)
	head, err := d.chain.Head(t.Context(), "")
	must(t, err)
	minimum := d.spec.History.Start
	d.Config.Range.MinBlock = minimum
	checked := &plan.Checked{Query: query, Schema: rows, Network: "mainnet", Head: head, Follow: true, First: minimum, LiveStart: 800}
	spec, err := d.Plan(t.Context(), checked)
	must(t, err)
	if spec.History != d.spec.History || spec.Live.Start != 950 {
		t.Errorf("the history is now %v, the lane begins at %d", spec.History, spec.Live.Start)
	}
}

func schemaOfRows(t *testing.T) []byte {
	t.Helper()
	schema, err := entry.MarshalSchema(rows)
	must(t, err)
	return schema
}
