package redis

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/rdb"
)

// A slice is what one call of the script writes, for some milliseconds in which
// the server does nothing else: about sliceRows rows, unless a row is large. A
// block of up to wholeRows rows is never cut.
const (
	sliceRows  = 128
	wholeRows  = 384
	sliceBytes = 512 << 10
)

// bound is a run whose columns are bound to their memory.
type bound struct {
	sink.RowRange
	cells  []cells
	blocks sink.Blocks
}

// bind binds the columns that are needed and refuses what cannot be written.
func (g *target) bind(run sink.RowRange) (bound, error) {
	b := bound{RowRange: run, cells: make([]cells, g.schema.NumFields())}
	var err error
	if b.blocks, err = sink.BlocksOf(run.Record, g.block); err != nil {
		return b, err
	}
	for i := range b.cells {
		keyed := slices.Contains(g.pattern.columns, i)
		if !keyed && i != g.score && g.names[i] == nil {
			continue
		}
		c := cellsOf(run.Record.Column(i))
		b.cells[i] = c
		if c.check == nil && !c.Any() && i != g.score {
			continue
		}
		for row := run.From; row < run.To; row++ {
			reason := ""
			if c.check != nil {
				reason = c.check(row)
			}
			switch {
			case reason != "":
			case keyed && c.Null(row):
				reason = "it is part of the key and has no value; filter such rows out in the query"
			case i == g.score && c.Null(row):
				reason = "it is the score and has no value; filter such rows out in the query"
			case i == g.score && math.IsNaN(b.scoreOf(g, row)):
				reason = "it is the score and not a number; filter such rows out in the query"
			}
			if reason != "" {
				bad := &sink.BadRowError{Block: b.blocks.At(row), Row: run.Entry + row - run.From, Column: g.schema.Field(i).Name, Reason: reason}
				return b, fault.Permanent(fmt.Errorf("%s: %w", g, bad))
			}
		}
	}
	return b, nil
}

// scoreOf returns the score of a row, which Redis holds as a double.
func (b *bound) scoreOf(g *target, row int) float64 {
	var digits [80]byte
	v, _ := strconv.ParseFloat(string(b.cells[g.score].text(digits[:0], row)), 64) // out of range is infinite
	return v
}

// width returns the number of arguments of a row: its key, what goes there and, in a
// sorted set, its score.
func (g *target) width() int {
	if g.score >= 0 {
		return 3
	}
	return 2
}

// appendGiven packs what [packer.addRow] writes as one array.
func (g *target) appendGiven(dst []byte, b *bound, row int) []byte {
	at := len(dst)
	dst = openArray(dst)
	closeArray(dst, at, g.width())
	text := len(dst)
	dst = closeText(g.pattern.append(openText(dst), b.cells, row), text)
	text = len(dst)
	dst = closeText(g.appendContent(openText(dst), b, row), text)
	if g.score >= 0 {
		text = len(dst)
		dst = closeText(b.appendScore(g, openText(dst), row), text)
	}
	return dst
}

// appendContent writes what goes under a row's key.
func (g *target) appendContent(dst []byte, b *bound, row int) []byte {
	switch g.Structure {
	case config.Hash:
		return g.appendDump(dst, b, row)
	case config.Stream: // has as many arguments as it has fields, so they are packed
		at, n := len(dst), 0
		dst, n = g.appendFields(openArray(dst), b, row)
		closeArray(dst, at, n)
		return dst
	default:
		return g.appendDocument(dst, b, row)
	}
}

// appendDump writes a row as its columns' names and values, dumped as a hash.
func (g *target) appendDump(dst []byte, b *bound, row int) []byte {
	start, n := len(dst), 0
	dst = rdb.OpenHash(dst)
	for _, i := range g.columns {
		c := &b.cells[i]
		null := c.Null(row)
		if null && !g.NullEmpty {
			continue
		}
		dst = append(dst, g.elements[i]...)
		at := len(dst)
		dst = rdb.OpenElement(dst)
		if !null {
			dst = c.text(dst, row)
		}
		dst, n = rdb.CloseElement(dst, at), n+2
	}
	if n == 0 { // a hash without fields does not exist
		dst, n = append(dst, g.elements[g.columns[0]]...), 2
		dst = rdb.CloseElement(rdb.OpenElement(dst), len(dst))
	}
	return rdb.CloseHash(dst, start, n)
}

// appendRow packs a row as one: its key, and what goes there. It is what digests
// hash.
func (g *target) appendRow(dst []byte, b *bound, row int) []byte {
	at, n := len(dst), 1
	dst = openArray(dst)
	text := len(dst)
	dst = closeText(g.pattern.append(openText(dst), b.cells, row), text)
	if g.flat() {
		dst, n = g.appendFields(dst, b, row)
		closeArray(dst, at, n+1)
		return dst
	}
	text = len(dst)
	dst = closeText(g.appendDocument(openText(dst), b, row), text)
	n++
	if g.score >= 0 {
		text = len(dst)
		dst = closeText(b.appendScore(g, openText(dst), row), text)
		n++
	}
	closeArray(dst, at, n)
	return dst
}

// appendFields writes the names and values of a row's columns, n of both, each as
// a packed text.
func (g *target) appendFields(dst []byte, b *bound, row int) (_ []byte, n int) {
	for _, i := range g.columns {
		c := &b.cells[i]
		if c.Null(row) {
			if g.NullEmpty {
				dst, n = append(append(dst, g.names[i]...), 0xa0), n+2
			}
			continue
		}
		dst = append(dst, g.names[i]...)
		text := len(dst)
		dst = closeText(c.text(openText(dst), row), text)
		n += 2
	}
	if n == 0 { // a hash or an entry without fields does not exist
		dst, n = append(append(dst, g.names[g.columns[0]]...), 0xa0), 2
	}
	return dst, n
}

func (b *bound) appendScore(g *target, dst []byte, row int) []byte {
	return strconv.AppendFloat(dst, b.scoreOf(g, row), 'g', -1, 64)
}

// appendDocument writes the columns of a row as a JSON document.
func (g *target) appendDocument(dst []byte, b *bound, row int) []byte {
	dst = append(dst, '{')
	first := true
	for _, i := range g.columns {
		if b.cells[i].Null(row) && !g.NullEmpty {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = b.cells[i].json(append(dst, g.labels[i]...), row)
	}
	return append(dst, '}')
}
