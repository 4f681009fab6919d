package redis

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// step is what one change does.
type step struct {
	sink.Step
	change        sink.Change
	before, after sink.LiveState
	runs          []bound
	idle          bool                 // a part that is there, or is not wanted
	resume        map[block.Number]int // rows of a block in chunks that are there
}

// blockChunk says which chunk of a block a slice is.
type blockChunk struct {
	blocks      block.Range // one block
	batch       string
	part, parts int
}

// tokenOf names a reading of a block that arrives in chunks.
func tokenOf(parts int, batch string) string { return strconv.Itoa(parts) + " " + batch }

// begin starts the header of a step. A live one rests on the live lane being where it
// was; top is the highest block known, for finality.
func (g *target) begin(h *header, top block.Number, before sink.LiveState, live bool) {
	h.reset()
	g.describe(h)
	if floor := g.floor(top); floor > 0 {
		h.text("floor", hexBlock(floor))
	}
	switch {
	case live && before.Started:
		h.list("live", strconv.FormatUint(before.Epoch, 10), strconv.FormatUint(before.Seq, 10))
	case live:
		h.list("live", "", "")
	}
}

// describe writes what is the same for all calls.
func (g *target) describe(h *header) {
	h.text("format", g.format())
	h.text("structure", string(g.Structure))
	h.text("stride", strconv.Itoa(g.stride()))
	h.text("width", strconv.Itoa(g.width()))
	h.text("ttl", strconv.FormatInt(g.TTL.Milliseconds(), 10))
	if g.owned {
		h.flag("owned", true)
	}
	if g.members() {
		h.flag("members", true)
	}
}

// cover says of which blocks the step is.
func (h *header) cover(r block.Range) {
	h.text("from", hexBlock(r.Start))
	h.text("to", hexBlock(r.End))
}

// moveOn makes the last step of a live entry move the sequence on, if all of the
// entry has arrived.
func (h *header) moveOn(s *step) {
	if !s.change.Live {
		return
	}
	if s.change.Whole() {
		h.list("whole", hexBlock(s.change.Range.Start), hexBlock(s.change.Range.End))
	}
	h.list("set", liveFields(s.after)...)
}

// hexBlock returns a block number as it stands in keys: text in the order of numbers.
func hexBlock(n block.Number) string { return fmt.Sprintf("%016x", uint64(n)) }

func parseBlock(s string) (block.Number, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, errState
	}
	return block.Number(n), nil
}

// liveFields are the fields of a live state and their values.
func liveFields(s sink.LiveState) []string {
	fields := []string{"epoch", strconv.FormatUint(s.Epoch, 10), "seq", strconv.FormatUint(s.Seq, 10), "start", hexBlock(s.Start)}
	if s.Cursor == (block.Cursor{}) {
		return append(fields, "cursor_network", "", "cursor_block", "", "cursor_hash", "")
	}
	return append(fields, "cursor_network", s.Cursor.Network, "cursor_block", strconv.FormatUint(uint64(s.Cursor.Number), 10),
		"cursor_hash", hex.EncodeToString(s.Cursor.Hash[:]))
}
