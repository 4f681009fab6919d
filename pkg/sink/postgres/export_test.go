package postgres

import (
	"io"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
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
	return &EncodedCopy{newCopyReader(portions, buf)}, nil
}

// EncodedCopy lets tests see a COPY.
type EncodedCopy struct{ r *copyReader }

// WriteTo writes the COPY.
func (e *EncodedCopy) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, e.r) }

// Buffer returns the buffer.
func (e *EncodedCopy) Buffer() []byte { return e.r.stop() }

// DigestCopy takes a COPY apart that comes in the given pieces. The first column
// is the block column, a bigint.
func DigestCopy(columns int, pieces ...[]byte) (sink.Digests, error) {
	s := &rowSplitter{columns: columns, into: make(sink.Digests)}
	for _, p := range pieces {
		if _, err := s.Write(p); err != nil {
			return nil, err
		}
	}
	if !s.ended || len(s.rest) > 0 {
		return nil, errCopyForm
	}
	return s.into, nil
}

// CheckJSON reports why a text is no JSON for a column jsonb or, if it is not strict,
// json.
func CheckJSON(text []byte, strict bool) error {
	_, err := canonicalJSON(nil, text, strict)
	return err
}

// SearchFor bounds how long a row that the server refuses is looked for.
func (w *Writer) SearchFor(d time.Duration) { w.search = d }
