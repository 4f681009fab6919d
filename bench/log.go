package main

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// natsServer is an embedded NATS server, as ampipe runs it, with the objects of one
// pipeline.
type natsServer struct {
	server *queue.Server
	conn   *queue.Conn
	log    *queue.Log
	tasks  *queue.Tasks
	state  *queue.State
}

// startNATS starts a server with an empty store.
func (e *env) startNATS(ctx context.Context, listen string, p *config.Pipeline) (_ *natsServer, err error) {
	if err := e.remove("nats"); err != nil {
		return nil, err
	}
	n := &natsServer{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if n.server, err = queue.StartServer(ctx, queue.ServerConfig{Dir: filepath.Join(e.dir, "nats"), Listen: listen}); err != nil {
		return nil, err
	}
	if n.conn, err = queue.Open(ctx, queue.Config{Server: n.server}); err != nil {
		return nil, err
	}
	if n.log, err = n.conn.Log(ctx, p.Name, queue.LogConfig{MaxBytes: p.Log.MaxBytes}); err != nil {
		return nil, err
	}
	if n.tasks, err = n.conn.Tasks(ctx, p.Name); err != nil {
		return nil, err
	}
	n.state, err = n.conn.State(ctx, p.Name)
	return n, err
}

// filledNATS returns a server whose log holds so many rows of a pipeline.
func (e *env) filledNATS(ctx context.Context, p *config.Pipeline, checked *plan.Checked, rows int) (*natsServer, error) {
	n, err := e.startNATS(ctx, "", p)
	if err != nil {
		return nil, err
	}
	size := plan.Size(history(rows).Len(), workers, rowsPerBlock)
	if _, err := n.fill(ctx, e.source, e.planner(n, p), checked, size); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *natsServer) close() error {
	if n.conn != nil {
		n.conn.Close()
	}
	if n.server == nil {
		return nil
	}
	return n.server.Close()
}

// fill plans the pipeline and extracts it into the log, as ampipe does, and
// returns the time until the last entry was in it.
func (n *natsServer) fill(
	ctx context.Context, source extract.Source, planner *plan.Planner, checked *plan.Checked, size uint64,
) (time.Duration, error) {
	began := time.Now()
	spec, err := planner.Plan(ctx, checked)
	if err != nil {
		return 0, err
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	filled := &filled{left: spec.History.Len(), stop: stop}
	x := &extract.Extractor{
		Source: source, Tasks: n.tasks, Log: n.log, State: n.state,
		Spec: spec, Query: checked.Query, Schema: checked.Schema, Column: checked.Column,
		Workers: workers, Codec: entry.Codec(planner.Config.Log.Compression), EntryBytes: planner.Config.Log.EntryBytes,
		EntryLimit: n.conn.EntryLimit(), Observer: filled, Logger: zerolog.Nop(),
	}
	planned := make(chan error, 1)
	go func() {
		_, err := planner.Run(work, spec, size)
		planned <- err
		stop()
	}()
	err = x.Run(work)
	stop()
	planErr := <-planned
	if took := filled.took(began); err == nil && took > 0 {
		return took, nil
	}
	return 0, errors.Join(errors.New("the extraction ended before everything was in the log"), err, planErr)
}

// filled watches for the entry that completes the log. It is called by several
// workers.
type filled struct {
	mu   sync.Mutex
	left uint64 // blocks
	end  time.Time
	stop context.CancelFunc
}

// Reading implements [extract.Observer].
func (f *filled) Reading(string, block.Range) {}

// Published implements [extract.Observer].
func (f *filled) Published(_ state.Partition, h entry.Header, _ int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.Whole() || h.Part == h.Parts-1 {
		f.left -= h.Range.Len()
	}
	if f.left == 0 {
		f.end = time.Now()
		f.stop()
	}
}

// Waiting implements [extract.Observer].
func (f *filled) Waiting(string, error) {}

// Live implements [extract.Observer].
func (f *filled) Live(entry.Header, int) {}

// Reorg implements [extract.Observer].
func (f *filled) Reorg(block.Number) {}

// Finished implements [extract.Observer].
func (f *filled) Finished(state.Partition) {}

// Idle implements [extract.Observer].
func (f *filled) Idle(int, time.Time, time.Time) {}

func (f *filled) took(began time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end.IsZero() {
		return 0
	}
	return f.end.Sub(began)
}
