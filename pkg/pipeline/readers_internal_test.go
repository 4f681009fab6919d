package pipeline

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestPartitionsAreCutForAllExtractors that run when the pipeline is planned, and not for one
// that has ended.
func TestPartitionsAreCutForAllExtractors(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn, kv := startState(t)
	stage := func(workers int, name string) *stages {
		p := &config.Pipeline{Name: "p", NATS: config.NATS{URL: "nats://elsewhere"}, Extract: config.Extract{Workers: workers}}
		return &stages{
			config: p, conn: &natsConn{Conn: conn}, state: kv, meter: newMeter(p, notConnected, name),
			settings: newSettings(p), logger: zerolog.Nop(),
		}
	}
	planner := stage(4, stagePlanner)
	processes := 0
	write := func(s *stages, role, stage string) (end func()) {
		t.Helper()
		processes++
		h := &heartbeat{stages: s, doc: state.Process{Role: role, PID: processes, Stages: []string{stage}, Started: time.Now()}}
		writer := kv.ProcessWriter(false)
		put := func(p state.Process) {
			t.Helper()
			if err := writer.Put(ctx, p); err != nil {
				t.Fatal(err)
			}
		}
		put(h.now())
		return func() {
			t.Helper()
			p := h.now()
			p.Ended = p.Beat
			put(p)
		}
	}
	read := func(want int, size uint64) {
		t.Helper()
		err := planner.countReaders(ctx)
		if workers := planner.settings.readers; err != nil || workers != want {
			t.Errorf("there are %d workers, want %d: %v", workers, want, err)
		}
		planner.settings.planned(960, 0)
		all := slices.Collect(planner.settings.cut(block.Range{End: 960}))
		if got := planner.settings.partitionSize(); got != size || all[0].Len() != size || len(all) != 4*max(4, want) {
			t.Errorf("%d partitions of up to %d blocks, the first of %d, want %d of %d", len(all), got, all[0].Len(), 4*max(4, want), size)
		}
	}
	write(planner, rolePlanner, stagePlanner)
	read(0, 120) // nobody is there yet: for as many as one extractor has
	write(stage(4, stageExtractor), roleExtractor, stageExtractor)
	write(stage(2, stageExtractor), roleExtractor, stageExtractor)
	end := write(stage(6, stageExtractor), roleExtractor, stageExtractor)
	read(12, 40)
	end()
	read(6, 80)
	planner.config.NATS = config.NATS{Embedded: "data"}
	planner.settings.counted(0)
	err := planner.countReaders(ctx)
	if workers := planner.settings.readers; err != nil || workers != 0 {
		t.Errorf("beside an embedded server there are %d workers in other processes: %v", workers, err)
	}
}

// TestAStageSoonLooksAgain for what the planner makes, which is started with it, and less and
// less often for a planner that is not.
func TestAStageSoonLooksAgain(t *testing.T) {
	t.Parallel()
	for waited, want := range map[time.Duration]time.Duration{
		0: 20 * time.Millisecond, 400 * time.Millisecond: 100 * time.Millisecond, time.Minute: 5 * time.Second,
	} {
		if got := lookAgain(waited); got != want {
			t.Errorf("after %v it looks again in %v, want %v", waited, got, want)
		}
	}
	missing := fault.Later(queue.ErrNoStream, 0)
	if again := fault.Later(missing, lookAgain(0)); fault.After(again) != lookAgain(0) || !errors.Is(again, queue.ErrNoStream) {
		t.Errorf("%v is not asked for again after %v", again, fault.After(again))
	}
}
