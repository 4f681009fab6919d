package pipeline

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/apply"
)

// sinkLog is what a sink needs of NATS: the entries of the log, and where refused rows go.
type sinkLog struct {
	*stages
	sink    config.Sink
	history *queue.Consumer
	live    *queue.Consumer
	letters apply.DeadLetters // nil: the sink stops at a refused row
}

// open opens at the same time what is not open yet. w is the sink's destination, which knows
// how far it is in the live lane.
func (l *sinkLog) open(ctx context.Context, w sink.Writer) error {
	var g errgroup.Group // which leaves the context to what was opened with it
	g.Go(func() error {
		if l.history != nil {
			return nil
		}
		history, err := l.log.Consume(ctx, l.sink.Name, consumeOptions(l.sink, queue.History))
		if err == nil {
			l.history = history
		}
		return err // which says what was to be read
	})
	g.Go(func() error { return l.openLive(ctx, w) })
	g.Go(func() error {
		if l.letters != nil || !l.sink.PutsAside() {
			return nil
		}
		letters, err := l.conn.DeadLetters(ctx, l.config.Name, l.sink.Name, l.config.Log.DeadLetterBytes)
		if err == nil {
			l.letters = letters
		}
		return err // also while the planner has not made the stream
	})
	return g.Wait()
}

// openLive begins to read the live lane behind what the destination has of it.
func (l *sinkLog) openLive(ctx context.Context, w sink.Writer) error {
	if l.live != nil {
		return nil
	}
	has, err := w.State(ctx)
	if err != nil {
		return fmt.Errorf("ask the destination how far it is in the live lane: %w", err)
	}
	o := consumeOptions(l.sink, queue.Live)
	o.Has = has.Live
	live, err := l.log.Consume(ctx, l.sink.Name, o)
	if err != nil {
		return fmt.Errorf("read the live lane: %w", err)
	}
	l.live = live
	return nil
}

// close ends the reading.
func (l *sinkLog) close() {
	for _, c := range []*queue.Consumer{l.live, l.history} {
		if c != nil {
			c.Close()
		}
	}
}
