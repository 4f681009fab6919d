package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/cluster"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
	"github.com/ampipe/ampipe/pkg/sink/redis/scripts"
)

// Writer is a table in Redis. It implements [sink.Writer] and [sink.Digester];
// docs/redis.md is its manual.
type Writer struct {
	cfg      config.Redis
	target   *format.Table
	client   redis.UniversalClient
	script   *redis.Script
	cluster  *cluster.Committer // to the slots of a Cluster
	warnings []string

	connections connections // to a single server

	// history and live are used by the calls of Apply with changes of their lanes, so that a
	// live block does not wait for the history that is being sent. A Cluster uses history for
	// both.
	history, live *sender
}

// sender is what calls of Apply use in turn.
type sender struct {
	turn chan struct{} // held by the call that is sending
	// Only the holder of turn uses these.
	pack    format.Packer
	batches [2]batch
	known   *commitState // as the last call has left it; nil: not known, or of no use to the next
}

func newSender() *sender { return &sender{turn: make(chan struct{}, 1)} }

var (
	_ sink.Writer   = (*Writer)(nil)
	_ sink.Digester = (*Writer)(nil)

	errNotOpen = fault.Permanent(errors.New("the writer is not open"))
)

// New makes a Writer for a sink of the configuration. It allocates only;
// [Writer.Open] connects.
func New(cfg config.Redis) *Writer {
	return &Writer{cfg: cfg, history: newSender(), live: newSender(), script: redis.NewScript(scripts.Apply())}
}

// Warnings returns what Open or Check found of the server that may become trouble,
// whatever the table.
func (w *Writer) Warnings(sink.Table) []string { return w.warnings }

// Close closes the connections.
func (w *Writer) Close() error {
	if w.client == nil {
		return nil
	}
	err := w.client.Close()
	w.client = nil
	if err != nil {
		return fmt.Errorf("close the connections: %w", err)
	}
	return nil
}

// State reads what is committed. It may be called concurrently.
func (w *Writer) State(ctx context.Context) (sink.State, error) {
	if w.client == nil {
		return sink.State{}, errNotOpen
	}
	l, err := w.readCommitState(ctx)
	if err != nil {
		return sink.State{}, w.classed(ctx, "read the state", err)
	}
	return l.State, nil
}

// Describe returns what is written for a row. It needs no connection. An error is
// permanent.
func (w *Writer) Describe(t sink.Table) (string, error) {
	g, err := format.NewTable(w.cfg, t)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", g.Structure, strings.ReplaceAll(g.Key, "{table}", g.Table))
	for _, i := range g.Indexes {
		f := g.Schema.Field(i)
		fmt.Fprintf(&b, "  %s  %s\n", f.Name, format.DescribeType(f.Type))
	}
	if g.Owned {
		fmt.Fprintf(&b, "the row of the highest %s is shown under its key; the others are kept for reorgs\n", g.Schema.Field(g.Block).Name)
	}
	fmt.Fprintf(&b, "state %s\n", g.StateKeys())
	return b.String(), nil
}
