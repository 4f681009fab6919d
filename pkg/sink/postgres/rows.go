package postgres

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// portion is a run of rows, bound for encoding.
type portion struct {
	pgcopy.Rows
	record arrow.RecordBatch
	entry  int    // of the first row in its log entry
	kept   []bool // like Drop: those of the dropped rows that are kept in ampipe.replaced
}

// prepare binds runs and checks every value in them, so that encoding cannot
// fail half-way.
func (g *tableSpec) prepare(runs []sink.RowRange) ([]portion, error) {
	portions := make([]portion, 0, len(runs))
	for _, r := range runs {
		bound, err := bind(g.columns, r.Record)
		if err != nil {
			return nil, fault.Permanent(err)
		}
		p := portion{Rows: pgcopy.Rows{Values: bound, From: r.From, To: r.To}, record: r.Record, entry: r.Entry}
		if err := g.check(p); err != nil {
			return nil, err
		}
		portions = append(portions, p)
	}
	return portions, nil
}

const nullKey = "the value is NULL, and a column of the key cannot be; filter such rows out in the query, or choose another key"

// check names the first row of a portion that the table cannot hold.
func (g *tableSpec) check(p portion) error {
	bad, column, reason := p.To, -1, ""
	for i := range p.Values {
		if row, why := p.Values[i].Invalid(p.From, bad); row >= 0 {
			bad, column, reason = row, i, why
		}
		full := g.columns[i].full
		if g.keyed(i) {
			full = nullKey
		}
		if full == "" || p.record.Column(i).NullN() == 0 {
			continue
		}
		for row := p.From; row < bad; row++ {
			if p.record.Column(i).IsNull(row) {
				bad, column, reason = row, i, full
			}
		}
	}
	if column < 0 {
		return nil
	}
	return g.bad(p, bad, &sink.BadRowError{Column: g.columns[column].name, Reason: reason})
}

// bad returns where a refused row stands.
func (g *tableSpec) bad(p portion, row int, err *sink.BadRowError) error {
	err.Row = p.entry + row - p.From
	if blocks, e := sink.BlocksOf(p.record, g.block); e == nil {
		err.Block = blocks.At(row)
	}
	if at := slices.IndexFunc(g.columns, func(c column) bool { return c.name == err.Column }); at >= 0 {
		err.Value = shown(p.record.Column(at), row)
		err.Reason = g.advise(err.Reason, g.columns[at], p.record.Column(at), row)
	}
	return fault.Permanent(fmt.Errorf("table %s: %w", g, err))
}

// nth finds the n-th row, from 1, of those that are written.
func nth(portions []portion, n int) (portion, int, bool) {
	for _, p := range portions {
		for row := p.From; row < p.To; row++ {
			if p.Dropped(row) {
				continue
			}
			n--
			if n == 0 {
				return p, row, true
			}
		}
	}
	return portion{}, 0, false
}

// countRows returns how many rows of portions are written.
func countRows(portions []portion) uint64 {
	n := 0
	for _, p := range portions {
		n += p.Len()
		for _, dropped := range p.Drop {
			if dropped {
				n--
			}
		}
	}
	return uint64(n)
}

// newReader returns the COPY of rows. It reuses buf.
func newReader(portions []portion, buf []byte) *pgcopy.Reader {
	rows := make([]*pgcopy.Rows, len(portions))
	for i := range portions {
		rows[i] = &portions[i].Rows
	}
	return pgcopy.NewReader(rows, buf)
}
