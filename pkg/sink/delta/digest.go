package delta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// Windowed returns true: rows are appended, so blocks can be verified by themselves.
func (w *Writer) Windowed() bool { return true }

// DigestSource starts the digest of rows from the source; see [sink.Digester].
// The Writer must be open.
func (w *Writer) DigestSource() sink.SourceDigest {
	return &sourceDigest{rowHasher{target: w.target, digests: sink.Digests{}}}
}

// rowHasher hashes rows in the types of the table: the columns of the files, then
// the partition columns as text.
type rowHasher struct {
	target  *target
	digests sink.Digests
	buf     []byte
}

func (h *rowHasher) add(rec arrow.RecordBatch, blocks sink.Blocks, p partition, in block.Range) (err error) {
	for row := range blocks.Len() {
		n := blocks.At(row)
		if !in.Has(n) {
			continue
		}
		h.buf = h.buf[:0]
		for _, c := range rec.Columns() {
			if h.buf, err = appendValue(h.buf, c, row); err != nil {
				return err
			}
		}
		for _, v := range p {
			if v == nil {
				h.buf = append(h.buf, 0)
				continue
			}
			h.buf = append(binary.AppendUvarint(append(h.buf, 1), uint64(len(*v))), *v...)
		}
		h.digests.Add(n, xxh3.Hash(h.buf))
	}
	return nil
}

type sourceDigest struct{ rowHasher }

// Add hashes the rows of a record. The error of a row that the table cannot hold is what
// [Writer.Apply] would give.
func (d *sourceDigest) Add(rec arrow.RecordBatch) error {
	rows, err := d.target.rowsOf(sink.Step{Write: []sink.RowRange{{Record: rec, To: int(rec.NumRows())}}})
	if err != nil {
		return err
	}
	defer rows.release()
	for _, p := range rows.partitioned {
		blocks, err := sink.BlocksOf(p.blocks, 0)
		if err != nil {
			return err
		}
		if err := d.add(p.record, blocks, p.partition, block.Range{End: block.Max + 1}); err != nil {
			return err
		}
	}
	return nil
}

// Digests returns the digests of all rows added.
func (d *sourceDigest) Digests() sink.Digests { return d.digests }

// DigestStored reads the rows of the blocks of r from the newest version of the
// table; see [sink.Digester]. Files that cannot hold any are left out. The blocks of a
// file that is gone or damaged are in the [*sink.UnreadableError] that is returned.
func (w *Writer) DigestStored(ctx context.Context, r block.Range, into sink.Digests) error {
	s, err := w.refresh(ctx)
	if err != nil {
		return err
	}
	h := &rowHasher{target: w.target, digests: into}
	var unreadable sink.UnreadableError
	for path, a := range s.Files.All() {
		blocks := w.target.blocksOf(a).Intersect(r)
		if blocks.Empty() {
			continue
		}
		err := w.digestFile(ctx, h, a, r)
		switch {
		case err == nil:
		case ctx.Err() == nil && fault.Of(err) == fault.ClassPermanent:
			unreadable.Add(blocks, fmt.Errorf("read %s of %s: %w", path, w.store, err))
		default:
			return fmt.Errorf("read %s of %s: %w", path, w.store, err)
		}
	}
	return unreadable.OrNil()
}

func (w *Writer) digestFile(ctx context.Context, h *rowHasher, a *deltalog.Add, r block.Range) error {
	f, err := openFile(ctx, w.store, a.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	p := w.target.partitionFor(a)
	watched := &watchedFile{File: f}
	err = fault.Catch(func() error { // a damaged file may be anything
		return w.target.readRows(ctx, watched, p, func(rec arrow.RecordBatch, blocks sink.Blocks) error { return h.add(rec, blocks, p, r) })
	})
	if err != nil && watched.failed.Load() == nil && ctx.Err() == nil {
		return fault.Permanent(err) // what is in the file stays
	}
	if cause := watched.failed.Load(); err != nil && cause != nil {
		return fmt.Errorf("%w: %w", *cause, err)
	}
	return err
}

// watchedFile keeps an error of the storage apart from those of what is in the file.
type watchedFile struct {
	storage.File
	failed atomic.Pointer[error]
}

func (f *watchedFile) note(err error) {
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		f.failed.Store(&err)
	}
}

func (f *watchedFile) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	f.note(err)
	return n, err
}

func (f *watchedFile) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(b, at)
	f.note(err)
	return n, err
}
