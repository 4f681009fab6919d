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

// Part returns which chunk a change is that is a part of a block.
func Part(ch *sink.Change) Chunk { return Chunk{ch.Range, ch.Batch, ch.Part, ch.Parts} }

// Token names the reading.
func (c Chunk) Token() string { return TokenOf(c.Parts, c.Batch) }

// Begun returns the live state before the first entry of a lane. The lane takes possession
// of its blocks there, so that the entry itself can follow in slices.
func (s *Step) Begun() sink.LiveState {
	return sink.LiveState{Started: true, Epoch: s.Change.Epoch, Seq: s.Change.After, Start: s.After.Start}
}

// Lane reports whether the step rests on where the live lane is.
func (s *Step) Lane() bool {
	beyond := s.Change.Kind == sink.Remove && s.Before.Started && s.Change.Range.End > s.Before.Start
	return s.Change.Live || s.Before != s.After || beyond
}

// Voids returns from which block on a step voids rows, if it does, and whether these are
// all that the live lane had, since it starts beyond them.
func (s *Step) Voids() (from block.Number, beyond bool) {
	if s.Change.Live && s.Change.StartsBeyond(s.Before) {
		return s.Before.Start, true
	}
	return s.Change.Range.Start, false
}

// TokenOf names a reading of a block that arrives in chunks.
func TokenOf(parts int, batch string) string { return strconv.Itoa(parts) + " " + batch }

// Begin starts the header of a step. A live one rests on the live lane being where it
// was: a removal moves its start, and leaves the sequence. top is the highest block known,
// for finality.
func (g *Table) Begin(h *Header, top block.Number, before sink.LiveState, live bool) {
	h.Reset()
	g.Describe(h)
	if floor := g.Floor(top); floor > 0 {
		h.Text("floor", HexBlock(floor))
	}
	switch {
	case live && before.Started:
		h.List("live", strconv.FormatUint(before.Epoch, 10), strconv.FormatUint(before.Seq, 10), HexBlock(before.Start))
	case live:
		h.List("live", "", "", "")
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

// Set makes the live lane be there.
func (h *Header) Set(to sink.LiveState) { h.List("set", LiveFields(to)...) }

// Cut removes all blocks from n on, up to a limit if there is one.
func (h *Header) Cut(n block.Number) { h.Text("cut", HexBlock(n)) }

// Remove removes the blocks of r, which leaves the live lane at after.
func (h *Header) Remove(r block.Range, before, after sink.LiveState) {
	h.Cut(r.Start)
	h.Text("limit", HexBlock(r.End))
	if after != before {
		h.Set(after)
	}
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
	h.Set(s.After)
}

// Arrived moves the live sequence on if the part that s is of has arrived.
func (h *Header) Arrived(s *Step) {
	ch := &s.Change
	h.List("arrived", HexBlock(ch.Range.Start), HexBlock(ch.Range.End), TokenOf(ch.Parts, ch.Batch), strconv.Itoa(ch.Part))
	h.MoveOn(s)
}

// Chunk says that the rows are those of a chunk from offset on.
func (h *Header) Chunk(c Chunk, offset int) {
	h.Text("token", c.Token())
	h.Text("parts", strconv.Itoa(c.Parts))
	h.Text("part", strconv.Itoa(c.Part))
	h.Text("offset", strconv.Itoa(offset))
}

// HexBlock returns a block number as it stands in keys: text in the order of numbers.
func HexBlock(n block.Number) string { return fmt.Sprintf("%016x", uint64(n)) }

// ParseBlock reads a block number of a key.
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
