package postgres

import (
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// portion is a run of rows, bound for encoding.
type portion struct {
	sink.RowRange
	cells []cells
	drop  []bool // by position in the run: rows that are not written; nil: none
	kept  []bool // likewise: those of them that are kept in ampipe.replaced
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
		p := portion{RowRange: r, cells: bound}
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
	for i, c := range p.cells {
		if row, why := c.invalid(p.From, bad); row >= 0 {
			bad, column, reason = row, i, why
		}
		full := g.columns[i].full
		if g.keyed(i) {
			full = nullKey
		}
		if full == "" || p.Record.Column(i).NullN() == 0 {
			continue
		}
		for row := p.From; row < bad; row++ {
			if p.Record.Column(i).IsNull(row) {
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
	err.Row = p.Entry + row - p.From
	if blocks, e := sink.BlocksOf(p.Record, g.block); e == nil {
		err.Block = blocks.At(row)
	}
	if at := slices.IndexFunc(g.columns, func(c column) bool { return c.name == err.Column }); at >= 0 {
		err.Value = shown(p.Record.Column(at), row)
		err.Reason = g.advise(err.Reason, g.columns[at], p.Record.Column(at), row)
	}
	return fault.Permanent(fmt.Errorf("table %s: %w", g, err))
}

// nth finds the n-th row, from 1, of those that are written.
func nth(portions []portion, n int) (portion, int, bool) {
	for _, p := range portions {
		for row := p.From; row < p.To; row++ {
			if p.dropped(row) {
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
		for _, dropped := range p.drop {
			if dropped {
				n--
			}
		}
	}
	return uint64(n)
}

func (p *portion) dropped(row int) bool { return p.drop != nil && p.drop[row-p.From] }

// encode appends rows from one on until dst is full or the portion ends, and
// returns the row after the last.
func (p *portion) encode(dst []byte, row, full int) ([]byte, int) {
	n := len(p.cells)
	for ; row < p.To && len(dst) < full; row++ {
		if p.dropped(row) {
			continue
		}
		dst = append(dst, byte(n>>8), byte(n))
		for _, c := range p.cells {
			dst = c.append(dst, row)
		}
	}
	return dst, row
}

// copyHeader begins a COPY BINARY: its signature, no flags, no extension.
const copyHeader = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// copyTrailer ends it.
const copyTrailer = "\xff\xff"

// copyChunk is how much of a COPY is encoded at a time. The buffer is larger by
// at most one row.
const copyChunk = 128 << 10

// copyReader is a COPY BINARY of portions, encoded as it is read. The driver
// reads it in a goroutine which, when a connection breaks, may outlive the call
// that started it: stop keeps it away from records that are only borrowed.
type copyReader struct {
	mu       sync.Mutex
	portions []portion
	row      int    // of the first portion; below its From before the first row
	buf      []byte // encoded
	sent     int    // of buf
	begun    bool
	ended    bool
	failed   error // a panic
}

// newCopyReader reuses buf.
func newCopyReader(portions []portion, buf []byte) *copyReader {
	return &copyReader{portions: portions, buf: buf[:0]}
}

// Read implements [io.Reader].
func (r *copyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sent == len(r.buf) {
		if r.ended {
			return 0, io.EOF
		}
		// The driver's goroutine has nobody above it who could catch a panic.
		r.failed = fault.Catch(r.fill)
		if r.failed != nil {
			r.ended = true
			return 0, r.failed
		}
	}
	n := copy(p, r.buf[r.sent:])
	r.sent += n
	return n, nil
}

// fill encodes the next chunk. It returns nil.
func (r *copyReader) fill() error {
	r.buf, r.sent = r.buf[:0], 0
	if !r.begun {
		r.buf, r.begun = append(r.buf, copyHeader...), true
	}
	for len(r.portions) > 0 && len(r.buf) < copyChunk {
		p := &r.portions[0]
		r.buf, r.row = p.encode(r.buf, max(r.row, p.From), copyChunk)
		if r.row == p.To {
			r.portions, r.row = r.portions[1:], 0
		}
	}
	if len(r.portions) == 0 {
		r.buf, r.ended = append(r.buf, copyTrailer...), true
	}
	return nil
}

// stop ends the reading and returns the buffer.
func (r *copyReader) stop() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	buf := r.buf
	r.portions, r.buf, r.sent, r.begun, r.ended = nil, nil, 0, true, true
	return buf
}
