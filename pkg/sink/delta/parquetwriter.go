package delta

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

const (
	// rowGroupBytes is how much of a file, compressed, is in memory before it goes
	// to the spool. Pages in the making come on top.
	rowGroupBytes = 16 << 20
	// rowGroupRows keeps row groups of narrow rows useful for skipping.
	rowGroupRows = 1 << 20
)

// parquetWriter is a Parquet file in the making. It is not safe for concurrent use.
type parquetWriter struct {
	target    *target
	partition partition
	spool     *os.File
	out       *spoolWriter
	w         rowWriter
	rows      int64
	blocks    block.Range // of the rows
	nan       []bool      // by column of the file: it holds a NaN
}

// stagedFile is a finished file that lies in the spool, or in the table.
type stagedFile struct {
	spool     *os.File
	size      int64
	rows      int64
	blocks    block.Range
	partition partition
	stats     string
	path      string // in the table; empty: not there yet
	uploaded  time.Time
}

func (t *target) newFile(p partition) (*parquetWriter, error) {
	spool, err := storage.NewSpool(t.spool)
	if err != nil {
		return nil, err
	}
	return t.newFileIn(spool, p)
}

func (t *target) newFileIn(spool *os.File, p partition) (*parquetWriter, error) {
	f := &parquetWriter{
		target: t, partition: p, spool: spool, out: &spoolWriter{f: spool, dir: t.spool}, nan: make([]bool, t.file.NumFields()),
	}
	var err error
	if f.w, err = t.newRowWriter(f.out); err != nil {
		_ = spool.Close()
		return nil, f.failed(err)
	}
	return f, nil
}

// spoolWriter hides everything but Write: the Parquet writer would close the file.
// It keeps the first error, which may come out of that writer as another one.
type spoolWriter struct {
	f   *os.File
	dir string // of the spool
	err error
}

func (w *spoolWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	if err != nil && w.err == nil {
		w.err = storage.OfSpool(w.dir, err)
	}
	return n, err
}

// failed returns the reason why Parquet could not be written.
func (f *parquetWriter) failed(err error) error {
	if f.out.err != nil {
		return f.out.err
	}
	return fmt.Errorf("write Parquet: %w", err)
}

// add appends rows, whose columns are those of the file, of the blocks given.
func (f *parquetWriter) add(rec arrow.RecordBatch, blocks sink.Blocks) error {
	if f.w.GroupSize() >= rowGroupBytes {
		if err := f.flush(); err != nil {
			return err
		}
	}
	if err := f.w.Write(rec); err != nil {
		return f.failed(err)
	}
	for i := range blocks.Len() {
		n := blocks.At(i)
		if f.rows == 0 && i == 0 {
			f.blocks = block.Closed(n, n)
		}
		f.blocks.Start, f.blocks.End = min(f.blocks.Start, n), max(f.blocks.End, n+1)
	}
	f.rows += rec.NumRows()
	for i, col := range rec.Columns() {
		f.nan[i] = f.nan[i] || hasNaN(col)
	}
	return nil
}

// flush writes the row group out.
func (f *parquetWriter) flush() error {
	if err := f.w.Flush(); err != nil {
		return f.failed(err)
	}
	return nil
}

// size returns about how large the file will be; held returns how much of it is in memory.
func (f *parquetWriter) size() int64 { return f.w.Size() }
func (f *parquetWriter) held() int64 { return f.w.Held() }

// finish ends the file. It is of no use after that, also if it fails.
func (f *parquetWriter) finish() (*stagedFile, error) {
	meta, err := f.w.Close()
	if err != nil {
		return nil, errors.Join(f.failed(err), f.spool.Close())
	}
	info, err := f.spool.Stat()
	var stats string
	if err == nil {
		stats, err = writeStats(meta, f.target.file.Fields(), f.nan)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("finish a Parquet file: %w", err), f.spool.Close())
	}
	return &stagedFile{spool: f.spool, size: info.Size(), rows: f.rows, blocks: f.blocks, partition: f.partition, stats: stats}, nil
}

// drop forgets the file.
func (f *parquetWriter) drop() {
	_ = f.spool.Close() // it has no name: this frees it
}

func (f *stagedFile) drop() {
	if f.spool != nil {
		_ = f.spool.Close() // it has no name: this frees it
		f.spool = nil
	}
}

// hasNaN reports whether a column of numbers holds something that is not one.
func hasNaN(a arrow.Array) bool {
	switch a := a.(type) {
	case *array.Float64:
		return slices.ContainsFunc(a.Float64Values(), math.IsNaN)
	case *array.Float32:
		return slices.ContainsFunc(a.Float32Values(), func(v float32) bool { return math.IsNaN(float64(v)) })
	}
	return false
}
