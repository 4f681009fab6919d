package main

import (
	"context"
	"errors"
	"os"
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
)

// bus is an embedded NATS server, as ampipe runs it, with the objects of one
// pipeline.
type bus struct {
	server *queue.Server
	conn   *queue.Conn
	log    *queue.Log
	tasks  *queue.Tasks
	state  *queue.State
}

// openBus starts a server with an empty store.
func (l *lab) openBus(ctx context.Context, listen string, p *config.Pipeline) (_ *bus, err error) {
	dir := filepath.Join(l.dir, "nats")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	b := &bus{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.server, err = queue.StartServer(ctx, queue.ServerConfig{Dir: dir, Listen: listen}); err != nil {
		return nil, err
	}
	if b.conn, err = queue.Open(ctx, queue.Config{Server: b.server}); err != nil {
		return nil, err
	}
	if b.log, err = b.conn.Log(ctx, p.Name, queue.LogConfig{MaxBytes: p.Log.MaxBytes}); err != nil {
		return nil, err
	}
	if b.tasks, err = b.conn.Tasks(ctx, p.Name); err != nil {
		return nil, err
	}
	b.state, err = b.conn.State(ctx, p.Name)
	return b, err
}

// fullBus is a bus whose log holds so many rows of a pipeline.
func (l *lab) fullBus(ctx context.Context, p *config.Pipeline, checked *plan.Checked, rows int) (*bus, error) {
	b, err := l.openBus(ctx, "", p)
	if err != nil {
		return nil, err
	}
	size := plan.Size(history(rows).Len(), workers, rowsPerBlock)
	if _, err := b.fill(ctx, l.source, l.planner(b, p), checked, size); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bus) close() error {
	if b.conn != nil {
		b.conn.Close()
	}
	if b.server == nil {
		return nil
	}
	return b.server.Close()
}

// fill plans the pipeline and extracts it into the log, as ampipe does, and
// returns the time until the last entry was in it.
func (b *bus) fill(ctx context.Context, source extract.Source, planner *plan.Planner, checked *plan.Checked, size uint64) (time.Duration, error) {
	began := time.Now()
	spec, err := planner.Plan(ctx, checked)
	if err != nil {
		return 0, err
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	filled := &filled{left: spec.History.Len(), stop: stop}
	x := &extract.Extractor{
		Source: source, Tasks: b.tasks, Log: b.log, State: b.state,
		Spec: spec, Query: checked.Query, Schema: checked.Schema, Column: checked.Column,
		Workers: workers, Codec: entry.Codec(planner.Config.Log.Compression), EntryBytes: planner.Config.Log.EntryBytes,
		EntryLimit: b.conn.EntryLimit(), Observer: filled, Logger: zerolog.Nop(),
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

// filled watches for the entry that completes the log. It is told by several
// workers.
type filled struct {
	mu   sync.Mutex
	left uint64 // blocks
	end  time.Time
	stop context.CancelFunc
}

// Published implements [extract.Observer].
func (f *filled) Published(_ queue.Partition, h entry.Header, _ int) {
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
func (f *filled) Finished(queue.Partition) {}

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
