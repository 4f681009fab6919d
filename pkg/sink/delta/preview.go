package delta

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
)

// previewFormat is how nested values are shown.
const previewFormat = arrowfmt.Objects | arrowfmt.ShortEscapes

// Columns names the columns of the table's rows, then its partition columns. The
// Writer must be open.
func (w *Writer) Columns() []string {
	var names []string
	for _, f := range w.target.file.Fields() {
		names = append(names, f.Name)
	}
	return append(names, w.target.names...)
}

// Preview reads the n rows of the highest blocks in the newest version of the table,
// highest first. It opens as few files as may hold them.
func (w *Writer) Preview(ctx context.Context, n int) ([]sink.PreviewRow, error) {
	s, err := w.refresh(ctx)
	if err != nil {
		return nil, err
	}
	files := make([]*deltalog.Add, 0, s.Files.Len())
	for _, a := range s.Files.All() {
		files = append(files, a)
	}
	slices.SortFunc(files, func(a, b *deltalog.Add) int {
		return cmp.Or(cmp.Compare(w.target.blocksOf(b).End, w.target.blocksOf(a).End), cmp.Compare(a.Path, b.Path))
	})
	var rows []sink.PreviewRow
	for _, a := range files {
		if len(rows) == n && w.target.blocksOf(a).End <= rows[n-1].Block {
			break
		}
		if rows, err = w.previewOf(ctx, a, n, rows); err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", a.Path, w.store, err)
		}
	}
	return rows, nil
}

// previewOf adds the rows of a file to rows, of which the n of the highest blocks stay.
func (w *Writer) previewOf(ctx context.Context, a *deltalog.Add, n int, rows []sink.PreviewRow) ([]sink.PreviewRow, error) {
	p := w.target.partitionFor(a)
	err := w.readFile(ctx, a, func(rec arrow.RecordBatch, blocks sink.Blocks) error {
		for i := range blocks.Len() {
			at := blocks.At(i)
			if len(rows) == n && at <= rows[n-1].Block {
				continue
			}
			place, _ := slices.BinarySearchFunc(rows, at, func(r sink.PreviewRow, at block.Number) int {
				if r.Block < at {
					return 1
				}
				return -1
			})
			rows = slices.Insert(rows, place, sink.PreviewRow{Block: at, Values: printed(rec, i, p)})
			rows = rows[:min(n, len(rows))]
		}
		return nil
	})
	return rows, err
}

// printed returns a row as text: binary as 0x-hex, no value as nothing.
func printed(rec arrow.RecordBatch, row int, p partition) []string {
	values := make([]string, 0, int(rec.NumCols())+len(p))
	for _, c := range rec.Columns() {
		_, nested := c.DataType().(arrow.NestedType)
		switch {
		case c.IsNull(row):
			values = append(values, "")
		case nested || arrowfmt.IsBytes(c.DataType()):
			values = append(values, string(previewFormat.Text(c)(nil, row)))
		default:
			values = append(values, c.ValueStr(row))
		}
	}
	for _, v := range p {
		if v == nil {
			values = append(values, "")
			continue
		}
		values = append(values, *v)
	}
	return values
}
