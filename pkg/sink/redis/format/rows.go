package format

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
// the server does nothing else: about SliceRows rows, unless a row is large. A
// block of up to WholeRows rows is never cut.
const (
	SliceRows  = 128
	WholeRows  = 384
	SliceBytes = 512 << 10
)

// Rows is a run whose columns are bound to their memory.
type Rows struct {
	sink.RowRange
	Cells  []cells
	Blocks sink.Blocks
}

// Bind binds the columns that are needed and refuses what cannot be written.
func (g *Table) Bind(run sink.RowRange) (Rows, error) {
	b := Rows{RowRange: run, Cells: make([]cells, g.Schema.NumFields())}
	var err error
	if b.Blocks, err = sink.BlocksOf(run.Record, g.Block); err != nil {
		return b, err
	}
	for i := range b.Cells {
		keyed := slices.Contains(g.Pattern.Indexes, i)
		if !keyed && i != g.score && g.names[i] == nil {
			continue
		}
		c := cellsOf(run.Record.Column(i))
		b.Cells[i] = c
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
				bad := &sink.BadRowError{Block: b.Blocks.At(row), Row: run.Entry + row - run.From, Column: g.Schema.Field(i).Name, Reason: reason}
				return b, fault.Permanent(fmt.Errorf("%s: %w", g, bad))
			}
		}
	}
	return b, nil
}

// scoreOf returns the score of a row, which Redis holds as a double.
func (b *Rows) scoreOf(g *Table, row int) float64 {
	var digits [80]byte
	v, _ := strconv.ParseFloat(string(b.Cells[g.score].text(digits[:0], row)), 64) // out of range is infinite
	return v
}

// width returns the number of arguments of a row: its key, what goes there and, in a
// sorted set, its score.
func (g *Table) width() int {
	if g.score >= 0 {
		return 3
	}
	return 2
}

// AppendGiven packs what [Packer.Add] writes as one array.
func (g *Table) AppendGiven(dst []byte, b *Rows, row int) []byte {
	at := len(dst)
	dst = OpenArray(dst)
	CloseArray(dst, at, g.width())
	dst = g.packKey(dst, b, row)
	text := len(dst)
	dst = closeText(g.appendContent(openText(dst), b, row), text)
	return g.packScore(dst, b, row)
}

// packKey and packScore pack a part of a row, packScore nothing if there is no score.
func (g *Table) packKey(dst []byte, b *Rows, row int) []byte {
	return closeText(g.Pattern.Append(openText(dst), b.Cells, row), len(dst))
}

func (g *Table) packScore(dst []byte, b *Rows, row int) []byte {
	if g.score < 0 {
		return dst
	}
	return closeText(b.appendScore(g, openText(dst), row), len(dst))
}

// appendContent writes what goes under a row's key.
func (g *Table) appendContent(dst []byte, b *Rows, row int) []byte {
	switch g.Structure {
	case config.Hash:
		return g.appendDump(dst, b, row)
	case config.Stream: // has as many arguments as it has fields, so they are packed
		at, n := len(dst), 0
		dst, n = g.appendFields(OpenArray(dst), b, row)
		CloseArray(dst, at, n)
		return dst
	default:
		return g.AppendDocument(dst, b, row)
	}
}

// appendDump writes a row as its columns' names and values, dumped as a hash.
func (g *Table) appendDump(dst []byte, b *Rows, row int) []byte {
	start, n := len(dst), 0
	dst = rdb.OpenHash(dst)
	for _, i := range g.Indexes {
		c := &b.Cells[i]
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
		dst, n = append(dst, g.elements[g.Indexes[0]]...), 2
		dst = rdb.CloseElement(rdb.OpenElement(dst), len(dst))
	}
	return rdb.CloseHash(dst, start, n)
}

// AppendRow packs a row as one: its key, and what goes there. It is what digests
// hash.
func (g *Table) AppendRow(dst []byte, b *Rows, row int) []byte {
	at, n := len(dst), g.width()-1
	dst = g.packKey(OpenArray(dst), b, row)
	if g.flat() {
		dst, n = g.appendFields(dst, b, row)
	} else {
		dst = closeText(g.AppendDocument(openText(dst), b, row), len(dst))
		dst = g.packScore(dst, b, row)
	}
	CloseArray(dst, at, 1+n)
	return dst
}

// appendFields writes the names and values of a row's columns, n of both, each as
// a packed text.
func (g *Table) appendFields(dst []byte, b *Rows, row int) (_ []byte, n int) {
	for _, i := range g.Indexes {
		c := &b.Cells[i]
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
		dst, n = append(append(dst, g.names[g.Indexes[0]]...), 0xa0), 2
	}
	return dst, n
}

func (b *Rows) appendScore(g *Table, dst []byte, row int) []byte {
	return strconv.AppendFloat(dst, b.scoreOf(g, row), 'g', -1, 64)
}

// AppendDocument writes the columns of a row as a JSON document.
func (g *Table) AppendDocument(dst []byte, b *Rows, row int) []byte {
	dst = append(dst, '{')
	first := true
	for _, i := range g.Indexes {
		if b.Cells[i].Null(row) && !g.NullEmpty {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = b.Cells[i].json(append(dst, g.labels[i]...), row)
	}
	return append(dst, '}')
}

// AppendEntry writes what undoes a row: its key and, where a key holds many, its member,
// which is all its content, or its number in the slice. When keys can expire, the hash of
// the row stands in for it.
func (g *Table) AppendEntry(dst, key, content []byte, number int, hash uint64) []byte {
	dst = AppendPacked(dst, key)
	switch {
	case g.Structure == config.Stream:
		dst = AppendPacked(dst, strconv.Itoa(number))
	case g.Members(), g.Structure == config.List:
		dst = AppendPacked(dst, content)
	}
	if g.TTL > 0 {
		dst = AppendPacked(dst, fmt.Sprintf("%016x", hash))
	}
	return dst
}
