package apply_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
	"github.com/ampipe/ampipe/pkg/state"
)

// eager tells when everything is committed.
type eager struct {
	watch
	store *memsink.Store
	want  block.Range
	done  chan struct{}
	once  sync.Once
}

func (e *eager) OnApplied(apply.Commit) {
	if l := e.store.CommitState(); l.Coverage.Covers(e.want) {
		e.once.Do(func() { close(e.done) })
	}
}

// TestLoopOverTheLog fills a log of NATS and empties it by two loops, as two
// processes of one sink would, while the destination fails now and then and the
// loops are stopped and started again.
func TestLoopOverTheLog(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)

	server, err := queue.StartServer(ctx, queue.ServerConfig{Dir: filepath.Join(t.TempDir(), "nats")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	conn, err := queue.Open(ctx, queue.Config{Server: server})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	log, err := conn.Log(ctx, "p", queue.LogConfig{MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	state, err := conn.State(ctx, "p")
	if err != nil {
		t.Fatal(err)
	}
	const blocks, perBlock = 1000, 3
	fill(ctx, t, log, blocks, perBlock)

	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 1))
	chance := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(n) == 0
	}
	store := &memsink.Store{Faults: memsink.Faults{
		Begin: func(context.Context, []sink.Change) error {
			if chance(5) {
				return fault.Later(errors.New("connection refused"), time.Millisecond)
			}
			return nil
		},
		Committed: func() error {
			if chance(5) {
				return errors.New("connection reset by peer")
			}
			return nil
		},
	}}
	all := upTo(blocks)
	done := &eager{store: store, want: all, done: make(chan struct{})}
	table := sink.Table{Pipeline: "p", Sink: "warehouse", Schema: logSchema, BlockColumn: 1, Epoch: 1, Network: "testnet"}

	// process runs a loop for as long as a process lives.
	process := func(ctx context.Context) error {
		w := store.Writer()
		if err := w.Open(ctx, table); err != nil {
			return err
		}
		consumer, err := log.Consume(ctx, "warehouse", queue.ConsumeOptions{})
		if err != nil {
			return err
		}
		defer consumer.Close()
		loop := &apply.Loop{
			Writer: w, Table: table, Source: consumer, Reports: state, Observer: done,
			Writers: 2, Rows: 100, Wait: 10 * time.Millisecond, Backoff: fault.Backoff{Attempts: 10, Min: time.Millisecond},
		}
		return loop.Run(ctx)
	}
	var processes sync.WaitGroup
	failed := make(chan error, 2)
	for i := range 2 {
		processes.Go(func() {
			for life := 1; ctx.Err() == nil; life++ {
				lifetime, end := context.WithCancel(ctx)
				timer := time.AfterFunc(time.Duration(life*(i+1))*100*time.Millisecond, end)
				err := process(lifetime)
				timer.Stop()
				end()
				if err != nil && ctx.Err() == nil && lifetime.Err() == nil {
					failed <- err
					return
				}
			}
		})
	}
	select {
	case <-done.done:
	case err := <-failed:
		t.Error(err)
	case <-ctx.Done():
		t.Errorf("not everything arrived in time: %v", store.CommitState().Coverage)
	}
	cancel()
	processes.Wait()
	r := &env{T: t, store: store}
	r.wantBlocks(perBlock, all)

	report, _, err := state.Report(t.Context(), "warehouse")
	if err != nil || report.State != "stopped" || !report.Coverage.Covers(all) {
		t.Errorf("it has reported %+v, %v", report, err)
	}
}

// fill publishes the blocks in ten lanes, one block of each in parts, and the
// middle once more in a lane of its own.
func fill(ctx context.Context, t *testing.T, log *queue.Log, blocks block.Number, perBlock int) {
	t.Helper()
	lane := func(name string, r block.Range, step block.Number) {
		after := uint64(0)
		for start := r.Start; start < r.End; start += step {
			group := []entry.Entry{encoded(t, logSchema, block.Range{Start: start, End: min(start+step, r.End)}, perBlock)}
			if start == r.Start {
				group = inParts(t, start, perBlock)
				rest := block.Range{Start: start + 1, End: min(start+step, r.End)}
				seq, err := log.Publish(ctx, name, after, fmt.Sprintf("%s.%d", name, start), group)
				if err != nil {
					t.Fatal(err)
				}
				after, group = seq, []entry.Entry{encoded(t, logSchema, rest, perBlock)}
			}
			seq, err := log.Publish(ctx, name, after, fmt.Sprintf("%s.%d.rest", name, start), group)
			if err != nil {
				t.Fatal(err)
			}
			after = seq
		}
	}
	for start := block.Number(0); start < blocks; start += blocks / 10 {
		p := state.Partition{Start: start, End: start + blocks/10}
		lane(p.Lane(), p.Range(), 7)
	}
	again := state.Partition{Start: blocks/4 + 3, End: blocks / 2, Generation: 1}
	lane(again.Lane(), again.Range(), 11)
}

// inParts is a block as one entry per row.
func inParts(t *testing.T, n block.Number, rows int) []entry.Entry {
	t.Helper()
	var parts []entry.Entry
	for i := range rows {
		h := entry.Header{Range: block.Closed(n, n), Part: i, Parts: rows, Batch: "0123456789abcdef"}
		parts = append(parts, encode(t, logSchema, h, i, i+1))
	}
	return parts
}
