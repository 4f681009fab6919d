package pipeline_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestReplay has blocks of one of two destinations removed and loaded again, while the
// chain grows.
func TestReplay(t *testing.T) {
	t.Parallel()
	h := newHealing(t)
	h.grow(70) // more than reorg_buffer: some live blocks are final
	h.settle(healed, "warehouse", "cache")
	kv := h.state()

	start := h.stores["warehouse"].CommitState().Live.Start
	history := block.NewSet(block.Range{End: start})
	reads, other := h.reads.Load(), h.written["cache"].Load()
	before := h.written["warehouse"].Load()
	h.replay(kv, history, history)
	h.grow(3)
	h.replayed(kv)
	if n := h.reads.Load() - reads; n != 0 {
		t.Errorf("Amp was asked for %d partitions that the log had", n)
	}
	h.settle(healed, "warehouse", "cache")
	rows := int64(h.rowsOf("warehouse", block.Range{End: start}))
	if n := h.written["warehouse"].Load() - before; rows == 0 || n < rows {
		t.Errorf("%d rows were written again, want %d", n, rows)
	}
	if n := h.written["cache"].Load() - other; n > int64(h.rowsOf("cache", block.Range{Start: start, End: block.Max})) {
		t.Errorf("%d rows were written to the other destination", n)
	}

	// Live blocks that are final come from Amp, as history.
	final := h.chain.Head().Number - 50
	if final <= start {
		t.Fatalf("the live lane begins at %d, and block %d is final", start, final)
	}
	all := block.NewSet(block.Range{Start: start - 30, End: final})
	h.replay(kv, all, block.NewSet(block.Range{Start: start - 30, End: start}))
	h.replayed(kv)
	for limit := time.Now().Add(healed); h.reads.Load() == reads; <-time.After(300 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("Amp was asked for nothing, though the log has no partition of these blocks")
		}
		h.grow(1) // so that the sinks report
	}
	h.settle(healed, "warehouse", "cache")
	if now := h.stores["warehouse"].CommitState().Live.Start; now != final {
		t.Errorf("the live start is %d, want %d", now, final)
	}
	if now := h.stores["cache"].CommitState().Live.Start; now != start {
		t.Errorf("the live start of the other destination is %d, want %d", now, start)
	}
}

// TestReplayIsKilled kills the sink in the middle of a replay, again and again.
func TestReplayIsKilled(t *testing.T) {
	t.Parallel()
	h := newHealing(t)
	kv := h.state()
	history := block.NewSet(block.Range{End: h.stores["warehouse"].CommitState().Live.Start})
	h.replay(kv, history, history)
	for range 3 {
		<-time.After(time.Duration(rand.IntN(60)) * time.Millisecond)
		h.procs["warehouse"].kill()
		<-h.procs["warehouse"].done
		h.begin("warehouse", h.applies("warehouse"))
	}
	h.grow(2)
	h.replayed(kv)
	h.settle(healed, "warehouse", "cache")
}

// state opens the state of the pipeline.
func (h *healing) state() *queue.State {
	h.t.Helper()
	conn, err := queue.Open(h.t.Context(), queue.Config{URL: "nats://" + h.address})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	kv, err := conn.State(h.t.Context(), h.config.Name)
	if err != nil {
		h.t.Fatal(err)
	}
	return kv
}

// replay asks for a replay of blocks in the warehouse.
func (h *healing) replay(kv *queue.State, blocks, fromLog block.Set) {
	h.t.Helper()
	_, rev, _ := kv.Replay(h.t.Context(), "warehouse") // 0: there was none
	_, err := kv.SaveReplay(h.t.Context(), "warehouse", state.Replay{Blocks: blocks, FromLog: fromLog, Step: state.ReplayRemoves}, rev)
	if err != nil {
		h.t.Fatal(err)
	}
}

// replayed waits until the log was read.
func (h *healing) replayed(kv *queue.State) {
	h.t.Helper()
	for limit := time.Now().Add(healed); ; <-time.After(20 * time.Millisecond) {
		r, _, err := kv.Replay(h.t.Context(), "warehouse")
		if err == nil && r.Step == state.ReplayDone && r.Removed.Equal(r.Blocks) {
			return
		}
		if time.Now().After(limit) || r.Step == state.ReplayFailed {
			h.t.Fatalf("the replay is not done within %s: %+v, %v", healed, r, err)
		}
	}
}

// rowsOf counts the rows that a destination has of blocks.
func (h *healing) rowsOf(name string, r block.Range) (n int) {
	for _, row := range h.stores[name].Rows() {
		if r.Has(row.Block) {
			n++
		}
	}
	return n
}
