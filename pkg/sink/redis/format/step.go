package format

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Step is what one change does.
type Step struct {
	sink.Step
	Change        sink.Change
	Before, After sink.LiveState
	Runs          []Rows
	Idle          bool                 // a part that is there, or is not wanted
	Resume        map[block.Number]int // rows of a block in chunks that are there
}

// Chunk says which chunk of a block a slice is.
type Chunk struct {
	Blocks      block.Range // one block
	Batch       string
	Part, Parts int
}

// TokenOf names a reading of a block that arrives in chunks.
func TokenOf(parts int, batch string) string { return strconv.Itoa(parts) + " " + batch }

// Begin starts the header of a step. A live one rests on the live lane being where it
// was; top is the highest block known, for finality.
func (g *Table) Begin(h *Header, top block.Number, before sink.LiveState, live bool) {
	h.Reset()
	g.Describe(h)
	if floor := g.Floor(top); floor > 0 {
		h.Text("floor", HexBlock(floor))
	}
	switch {
	case live && before.Started:
		h.List("live", strconv.FormatUint(before.Epoch, 10), strconv.FormatUint(before.Seq, 10))
	case live:
		h.List("live", "", "")
	}
}

// Describe writes what is the same for all calls.
func (g *Table) Describe(h *Header) {
	h.Text("format", g.Format())
	h.Text("structure", string(g.Structure))
	h.Text("stride", strconv.Itoa(g.Stride()))
	h.Text("width", strconv.Itoa(g.width()))
	h.Text("ttl", strconv.FormatInt(g.TTL.Milliseconds(), 10))
	if g.Owned {
		h.Flag("owned", true)
	}
	if g.Members() {
		h.Flag("members", true)
	}
}

// Cover says of which blocks the step is.
func (h *Header) Cover(r block.Range) {
	h.Text("from", HexBlock(r.Start))
	h.Text("to", HexBlock(r.End))
}

// MoveOn makes the last step of a live entry move the sequence on, if all of the
// entry has arrived.
func (h *Header) MoveOn(s *Step) {
	if !s.Change.Live {
		return
	}
	if s.Change.Whole() {
		h.List("whole", HexBlock(s.Change.Range.Start), HexBlock(s.Change.Range.End))
	}
	h.List("set", LiveFields(s.After)...)
}

// HexBlock returns a block number as it stands in keys: text in the order of numbers.
func HexBlock(n block.Number) string { return fmt.Sprintf("%016x", uint64(n)) }

func ParseBlock(s string) (block.Number, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, ErrState
	}
	return block.Number(n), nil
}

// LiveFields are the fields of a live state and their values.
func LiveFields(s sink.LiveState) []string {
	fields := []string{"epoch", strconv.FormatUint(s.Epoch, 10), "seq", strconv.FormatUint(s.Seq, 10), "start", HexBlock(s.Start)}
	if s.Cursor == (block.Cursor{}) {
		return append(fields, "cursor_network", "", "cursor_block", "", "cursor_hash", "")
	}
	return append(fields, "cursor_network", s.Cursor.Network, "cursor_block", strconv.FormatUint(uint64(s.Cursor.Number), 10),
		"cursor_hash", hex.EncodeToString(s.Cursor.Hash[:]))
}
