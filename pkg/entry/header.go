// Package entry is the unit of the log: one message that covers a range of blocks.
// Its headers and its payload, an Arrow IPC stream compressed as a whole, are a
// public format: any Arrow program can read the log. Golden files pin it.
package entry

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Kind is what an entry does to a destination.
type Kind string

const (
	// Data has the rows of its blocks; there may be none.
	Data Kind = "data"
	// Watermark closes a live range whose rows came before it: every block up to its end
	// has arrived. See [Header.Closes], too.
	Watermark Kind = "watermark"
	// Invalidate voids every block at or above the start of its range.
	Invalidate Kind = "invalidate"
	// Ended says that nothing follows in a partition's lane, although it does not reach
	// to the end in its entries' headers. It covers nothing: its range is the first block
	// that the lane lacks.
	Ended Kind = "ended"
)

// Codec is how a payload is compressed, as a whole.
type Codec string

// The codecs of the log (performance: S2 costs nothing measurable end to end).
const (
	None Codec = "none"
	S2   Codec = "s2"
	Zstd Codec = "zstd"
)

// Header is all of an entry except its rows.
type Header struct {
	Kind    Kind
	Codec   Codec
	Epoch   uint64
	Network string
	Range   block.Range // blocks covered, also those without rows
	Rows    int
	Schema  string // fingerprint of the Arrow schema; empty without payload

	// Complete says that an entry of kind Data also closes its range, as a Watermark of
	// the same range would that follows it. Live lane only. In a message it is a kind of
	// its own, so that a reader which does not know it stops.
	Complete bool

	// End is the exclusive end of the partition when the entry was cut; on the live
	// lane it is max_block, 0 without one. An entry whose Range ends there closes
	// its lane.
	End block.Number

	// Hash is the hash of the last block, Prev that of the block before the
	// first one. Live lane only.
	Hash, Prev block.Hash

	// Seen is when the extractor first heard of the range, by its clock, in
	// microseconds: with the time of the commit it shows how late a destination is.
	// Live lane only; zero if unknown.
	Seen time.Time

	// A block too large for one message is split into Parts entries, numbered
	// from 0 by Part, that share Batch, a hash of their content. Parts is 0 for
	// an entry that is whole.
	Part, Parts int
	Batch       string
}

// After returns the first block that a partition's lane lacks after the entry.
func (h Header) After() block.Number {
	if h.Kind == Ended {
		return h.Range.Start
	}
	return h.Range.End
}

// Closes reports whether the entry closes a live range: every block up to its end has
// arrived, with it and what came before it.
func (h Header) Closes() bool { return h.Kind == Watermark || h.Complete }

// Whole reports whether the entry holds all rows of its blocks.
func (h Header) Whole() bool { return h.Parts == 0 }

// Entry is a header and its payload. Payload is nil for kinds other than Data.
type Entry struct {
	Header
	Payload []byte
}
