package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
)

// lakeFile writes the configuration of a load into a Delta table.
func (e *env) lakeFile(rows int) (string, error) {
	return e.write("lake.yaml", rows, embedded, "{ name: lake, delta: { path: ./lake } }")
}

// measureDelta compares the writer, fed from memory, and a whole run with bare
// pqarrow: the same rows, in row groups of the same size, to one file that is
// synced at the end.
func measureDelta(ctx context.Context, e *env, r *report) error {
	p, err := read(e.lakeFile(e.scale.rows))
	if err != nil {
		return err
	}
	table, changes, release, err := e.decoded(ctx, p)
	if err != nil {
		return err
	}
	defer release()
	bare := e.bareParquet(table.Schema, changes)
	fromMemory := side{"delta.Writer from memory", func(ctx context.Context) (sample, error) { return e.gather(ctx, p, table, changes) }}
	if err := r.add(e.compare(ctx, "Delta sink from memory", 0.80, fromMemory, bare)); err != nil {
		return err
	}
	if err := r.add(e.compare(ctx, "end to end, Delta", 0.55, side{"ampipe run, Delta", e.loadLake}, bare)); err != nil {
		return err
	}
	return e.measureDeltaLog(ctx, r, bare)
}

// measureDeltaLog compares the sink, from a full log to a table that is committed,
// with bare pqarrow. A whole run has a second core's worth of work besides: reading
// from Amp and writing the log.
func (e *env) measureDeltaLog(ctx context.Context, r *report, bare side) (err error) {
	p, err := read(e.lakeFile(e.scale.live))
	if err != nil {
		return err
	}
	table, checked, err := e.table(ctx, p)
	if err != nil {
		return err
	}
	n, err := e.filledNATS(ctx, p, checked, e.scale.live)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	drained := side{"sink-delta, from a full log", func(ctx context.Context) (_ sample, err error) {
		cfg := *p.Sinks[0].Delta
		if err := errors.Join(os.RemoveAll(cfg.Path), n.log.RemoveConsumer(ctx, table.Sink)); err != nil {
			return sample{}, err
		}
		w := delta.New(cfg)
		defer func() { err = errors.Join(err, w.Close()) }()
		if err := w.Open(ctx, table); err != nil {
			return sample{}, err
		}
		took, err := n.drain(ctx, p.Sinks[0], w, table, e.scale.live)
		return sample{e.scale.live, took}, err
	}}
	return r.add(e.compare(ctx, "Delta, from the log to the table", 0.80, drained, bare))
}

// gather writes all changes by one commit.
func (e *env) gather(ctx context.Context, p *config.Pipeline, table sink.Table, changes []sink.Change) (_ sample, err error) {
	cfg := *p.Sinks[0].Delta
	if err := os.RemoveAll(cfg.Path); err != nil {
		return sample{}, err
	}
	w := delta.New(cfg)
	if err := w.Open(ctx, table); err != nil {
		return sample{}, errors.Join(err, w.Close())
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	defer e.profiled("delta")()
	began := time.Now()
	g := w.NewStaging()
	defer g.Discard()
	for i := range changes {
		if _, err := g.Stage(ctx, changes[i:i+1]); err != nil {
			return sample{}, err
		}
	}
	applied, err := g.Commit(ctx)
	took := time.Since(began)
	if err == nil && int(applied.Rows) != e.scale.rows {
		err = fmt.Errorf("%d rows were written instead of %d", applied.Rows, e.scale.rows)
	}
	return sample{e.scale.rows, took}, err
}

// loadLake runs the command into an empty lake.
func (e *env) loadLake(ctx context.Context) (sample, error) {
	file, err := e.lakeFile(e.scale.live)
	if err != nil {
		return sample{}, err
	}
	if err := e.remove("nats", "lake"); err != nil {
		return sample{}, err
	}
	_, took, err := finish(ctx, e.command(ctx, "ampipe", "run", "-c", file))
	return sample{e.scale.live, took}, err
}

// bareRowGroup is the rows of a row group; those of the sink are of bytes.
const bareRowGroup = 250_000

// bareParquet writes the same rows as they are.
func (e *env) bareParquet(schema *arrow.Schema, changes []sink.Change) side {
	return side{"bare pqarrow", func(context.Context) (_ sample, err error) {
		f, err := os.Create(filepath.Join(e.dir, "bare.parquet"))
		if err != nil {
			return sample{}, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCompressionLevel(1),
			parquet.WithDictionaryDefault(false), parquet.WithMaxRowGroupLength(bareRowGroup), parquet.WithStoreDecimalAsInteger(true))
		began := time.Now()
		w, err := pqarrow.NewFileWriter(schema, writeOnly{f}, props, pqarrow.DefaultWriterProps())
		if err != nil {
			return sample{}, err
		}
		rows := 0
		for _, c := range changes {
			for _, rec := range c.Records {
				if err := w.WriteBuffered(rec); err != nil {
					return sample{}, err
				}
				rows += int(rec.NumRows())
			}
		}
		if err := errors.Join(w.Close(), f.Sync()); err != nil {
			return sample{}, err
		}
		return sample{rows, time.Since(began)}, nil
	}}
}

// writeOnly keeps the Parquet writer from closing the file.
type writeOnly struct{ f *os.File }

func (w writeOnly) Write(b []byte) (int, error) { return w.f.Write(b) }
