package parquetfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Writer writes a file, row group by row group. It is not safe for concurrent use, and of no
// use after an error.
type Writer struct {
	layout  *Layout
	out     *output
	meta    *metadata.FileMetaDataBuilder
	columns []*column // of the row group in the making; nil: it has no rows
	rows    int64     // of that row group
	written int64     // compressed bytes of the row groups before
	groups  int16
}

// output counts what is written.
type output struct {
	*bufio.Writer
	at int64
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	o.at += int64(n)
	return n, err
}

// Tell returns the position in the file.
func (o *output) Tell() int64 { return o.at }

// outputBuffer joins the headers of pages; what is larger is not copied.
const outputBuffer = 16 << 10

// magic begins and ends a file.
var magic = []byte("PAR1")

// NewWriter begins a file.
func (l *Layout) NewWriter(w io.Writer) (*Writer, error) {
	out := &output{Writer: bufio.NewWriterSize(w, outputBuffer)}
	_, err := out.Write(magic)
	return &Writer{layout: l, out: out, meta: metadata.NewFileMetadataBuilder(l.schema, l.props, nil)}, errors.Join(err, out.Flush())
}

// Write appends rows, whose columns are those of the layout.
func (w *Writer) Write(rec arrow.RecordBatch) error {
	for from := int64(0); from < rec.NumRows(); {
		if w.rows >= w.layout.props.MaxRowGroupLength() {
			if err := w.Flush(); err != nil {
				return err
			}
		}
		to := min(rec.NumRows(), from+w.layout.props.MaxRowGroupLength()-w.rows)
		some := rec.NewSlice(from, to)
		err := w.write(some)
		some.Release()
		if err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (w *Writer) write(rec arrow.RecordBatch) error {
	if w.columns == nil {
		w.columns = w.layout.take()
	}
	w.rows += rec.NumRows()
	return w.each(rec.NumRows(), func(i int) { w.columns[i].append(rec.Column(i)) })
}

// aloneRows is for how few rows other goroutines are not worth to be started.
const aloneRows = 256

// each calls f for each column, those with the most bytes first, from several goroutines. What
// a column does depends on no other, so that the file is always the same.
func (w *Writer) each(rows int64, f func(i int)) error {
	order := make([]int, len(w.columns))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return w.columns[b].held() - w.columns[a].held() })
	var next atomic.Int64
	work := func() error {
		for i := next.Add(1) - 1; i < int64(len(order)); i = next.Add(1) - 1 {
			f(order[i])
		}
		return nil
	}
	if rows < aloneRows {
		return work()
	}
	errs := make([]error, min(w.layout.parallel, len(order)))
	var others sync.WaitGroup
	for i := range errs[1:] {
		others.Go(func() { errs[1+i] = fault.Catch(work) }) // a panic is the caller's
	}
	errs[0] = fault.Catch(work)
	others.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Flush ends the row group.
func (w *Writer) Flush() error {
	if w.rows == 0 {
		return nil
	}
	if err := w.each(w.rows, func(i int) { w.columns[i].endPage() }); err != nil {
		return err
	}
	group := w.meta.AppendRowGroup()
	for i, c := range w.columns {
		if err := w.writeChunk(c, group.NextColumnChunk(), int16(i)); err != nil {
			return err
		}
		w.written += int64(len(c.chunk))
	}
	group.SetNumRows(int(w.rows))
	if err := group.Finish(0, w.groups); err != nil {
		return err
	}
	w.groups++
	w.rows = 0
	w.layout.put(w.columns)
	w.columns = nil
	return w.out.Flush()
}

// writeChunk writes the pages of a column.
func (w *Writer) writeChunk(c *column, meta *metadata.ColumnChunkMetaDataBuilder, ordinal int16) error {
	props, path := w.layout.props, meta.Descr().Path()
	pages, err := file.NewPageWriter(w.out, props.CompressionFor(path), props.CompressionLevelFor(path), meta, w.groups, ordinal,
		memory.DefaultAllocator, false, nil, nil)
	if err != nil {
		return err
	}
	begin := 0
	for _, p := range c.pages {
		data := file.NewDataPageV1WithConfig(memory.NewBufferBytes(c.chunk[begin:p.end]), parquet.Encodings.RLE, parquet.Encodings.RLE,
			file.DataPageConfig{Num: p.rows, Encoding: parquet.Encodings.Plain, UncompressedSize: p.plain, FirstRowIndex: p.first})
		_, err := pages.WriteDataPage(data)
		data.Release()
		if err != nil {
			return err
		}
		begin = p.end
	}
	meta.SetStats(c.statistics(meta.Descr(), int(props.MaxStatsSizeFor(path))))
	return pages.Close(false, false)
}

// statistics returns those of the chunk.
func (c *column) statistics(descr *schema.Column, longest int) metadata.EncodedStatistics {
	s := metadata.EncodedStatistics{Signed: descr.SortOrder() == schema.SortSIGNED}
	s.SetNullCount(c.chunkNulls)
	if low, high, ok := c.values.bounds(); ok {
		s.SetMin(low).SetMax(high)
		s.ApplyStatSizeLimits(longest)
	}
	return s
}

// Size returns about how large the file is: what is compressed.
func (w *Writer) Size() int64 { return w.written + w.GroupSize() }

// GroupSize returns how much of that is in the row group in the making.
func (w *Writer) GroupSize() (n int64) {
	for _, c := range w.columns {
		n += int64(len(c.chunk))
	}
	return n
}

// Held returns how much is in memory, with the pages in the making.
func (w *Writer) Held() (n int64) {
	for _, c := range w.columns {
		n += int64(c.held())
	}
	return n
}

// Close ends the file and returns what is in its footer. The writer below stays open.
func (w *Writer) Close() (*metadata.FileMetaData, error) {
	if err := w.Flush(); err != nil {
		return nil, err
	}
	meta, err := w.meta.Finish()
	if err != nil {
		return nil, err
	}
	size, err := meta.WriteTo(w.out, nil)
	if err != nil {
		return nil, err
	}
	if _, err := w.out.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(size)), magic...)); err != nil {
		return nil, err
	}
	return meta, w.out.Flush()
}
