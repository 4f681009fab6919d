package pipeline

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// heartbeat keeps the document of this process in the state of a pipeline.
type heartbeat struct {
	*stages
	writer *queue.ProcessWriter
	doc    state.Process // what does not change
	stop   context.CancelFunc
	done   chan struct{}
	once   sync.Once
}

const (
	// lastBeat bounds the document that says that a process has ended.
	lastBeat = 2 * time.Second
	// shownWaits, shownReason and shownReading bound the document: a process may have
	// thousands of waits.
	shownWaits   = 8
	shownReason  = 1000 // bytes
	shownReading = 64   // ranges, of 42 bytes at most
)

// startHeartbeat writes the document at once, and then every few seconds until end is
// called. names are the stages that run in this process.
func (s *stages) startHeartbeat(role string, names ...string) *heartbeat {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	ctx, stop := context.WithCancel(context.Background()) // it outlives what it tells of
	h := &heartbeat{
		stages: s, writer: s.state.ProcessWriter(s.config.NATS.Embedded != ""), stop: stop, done: make(chan struct{}),
		doc: state.Process{
			Role: role, Host: host, PID: os.Getpid(), Version: ops.ReadBuild().Version, Stages: names,
			Started: time.Now().UTC().Truncate(time.Millisecond),
		},
	}
	go h.run(ctx)
	return h
}

func (h *heartbeat) run(ctx context.Context) {
	defer close(h.done)
	for {
		err := h.writer.Put(ctx, h.now())
		if fault.Of(err) == fault.ClassPermanent && ctx.Err() == nil {
			h.logger.Warn().Err(err).Msg("this process is not shown by ampipe status")
			return
		}
		if fault.Sleep(ctx, fault.Aligned(state.BeatEvery)) != nil {
			return
		}
	}
}

// end writes for the last time, and why the process ends.
func (h *heartbeat) end(cause error) {
	if h == nil {
		return
	}
	h.once.Do(func() {
		h.stop()
		<-h.done
		p := h.now()
		p.Ended, p.Waits, p.More, p.Left, p.Reading = p.Beat, nil, 0, 0, nil
		switch code := ops.ExitCode(cause); {
		case cause == nil || code == ops.ExitIncomplete:
			p.Done = true
		case code != ops.ExitInterrupted:
			p.Error = cut(cause.Error())
		}
		ctx, cancel := context.WithTimeout(context.Background(), lastBeat)
		defer cancel()
		if err := h.writer.Put(ctx, p); err != nil && !errors.Is(err, queue.ErrClosed) {
			h.logger.Debug().Err(err).Msg("could not say that this process ends")
		}
	})
}

// now returns the document as of now.
func (h *heartbeat) now() state.Process {
	p := h.doc
	now := time.Now()
	p.Beat = now.UTC().Truncate(time.Millisecond)
	s := h.meter.Snapshot()
	p.Read = state.Rate{Rows: s.Rows, PerSec: s.RowsPerSec}
	p.Left = s.Left.Round(time.Second).Seconds()
	if h.runs(stageExtractor) {
		p.Workers = h.settings.workers.N()
	}
	p.Reading = largest(h.meter.BeingRead().Ranges(), shownReading)
	for _, sink := range s.Sinks {
		if !h.runs(stageSink(sink.Name)) {
			continue
		}
		p.Sinks = append(p.Sinks, state.ProcessSink{
			Name: sink.Name, Latency: sink.Latency.Round(time.Millisecond).Seconds(),
			Rate: state.Rate{Rows: sink.Rows, PerSec: sink.RowsPerSec},
		})
	}
	for _, part := range health.Healthy(now, []health.Pipeline{h.meter.Health(h.config.Name)}).Parts {
		if len(p.Waits) == shownWaits {
			p.More++
			continue
		}
		p.Waits = append(p.Waits, state.Wait{Part: part.Part, State: string(part.State), Reason: cut(part.Reason), Since: part.Since})
	}
	return p
}

func (h *heartbeat) runs(stage string) bool {
	return slices.Contains(h.doc.Stages, stage)
}

// largest returns at most so many of some ranges, in their order: those that have the most
// blocks.
func largest(ranges []block.Range, most int) []block.Range {
	if len(ranges) <= most {
		return ranges
	}
	bySize := slices.SortedStableFunc(slices.Values(ranges), func(a, b block.Range) int { return cmp.Compare(b.Len(), a.Len()) })
	return block.NewSet(bySize[:most]...).Ranges()
}

// cut shortens a reason.
func cut(text string) string {
	if len(text) <= shownReason {
		return text
	}
	return strings.ToValidUTF8(text[:shownReason], "") + "…"
}
