package postgres

import (
	"io"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// Encode returns what a COPY of all rows of records would send. buf is reused.
func Encode(cfg config.Postgres, t sink.Table, buf []byte, records ...arrow.RecordBatch) (*EncodedCopy, error) {
	g, err := newTableSpec(cfg, t)
	if err != nil {
		return nil, err
	}
	var runs []sink.RowRange
	for _, rec := range records {
		runs = append(runs, sink.RowRange{Record: rec, To: int(rec.NumRows())})
	}
	portions, err := g.prepare(runs)
	if err != nil {
		return nil, err
	}
	return &EncodedCopy{newReader(portions, buf)}, nil
}

// EncodedCopy lets tests see a COPY.
type EncodedCopy struct{ r *pgcopy.Reader }

// WriteTo writes the COPY.
func (e *EncodedCopy) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, e.r) }

// Buffer returns the buffer.
func (e *EncodedCopy) Buffer() []byte {
	buf, _ := e.r.Stop()
	return buf
}

// SearchFor bounds how long a row that the server refuses is looked for.
func (w *Writer) SearchFor(d time.Duration) { w.search = d }

// Dedupe returns which rows an upsert of records writes, of each record, and whether it has
// looked no key up.
func Dedupe(cfg config.Postgres, t sink.Table, records ...arrow.RecordBatch) (written [][]int, ascend bool, err error) {
	g, err := newTableSpec(cfg, t)
	if err != nil {
		return nil, false, err
	}
	var runs []sink.RowRange
	for _, rec := range records {
		runs = append(runs, sink.RowRange{Record: rec, To: int(rec.NumRows())})
	}
	portions, err := g.prepare(runs)
	if err != nil {
		return nil, false, err
	}
	s := &scratch{}
	_, err = s.dedupe(g, &replacedRows{}, portions)
	for _, p := range portions {
		var rows []int
		for row := range p.Len() {
			if !p.Dropped(row) {
				rows = append(rows, row)
			}
		}
		written = append(written, rows)
	}
	return written, s.last == nil, err
}
