package status

import (
	"math/bits"
	"slices"
	"sort"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// Piece is one of the parts of about equal size that a history is drawn in, however many
// partitions it has. It counts blocks.
type Piece struct {
	Range   block.Range
	InLog   uint64   // that were read
	Reading uint64   // of partitions that are being read
	Failed  uint64   // that could not be read, and that no later partition has brought
	Sinks   []uint64 // that each sink's destination holds, in the order of [Pipeline.Sinks]
}

// Detail is what is drawn and listed of a pipeline where there is room for it.
type Detail struct {
	Pieces []Piece
	Failed []FailedPartition // by their first block

	Letters []Letter // the newest dead letters of each sink, the newest first; NewDetail leaves them out
}

// Letter is a dead letter: a row that a destination has refused.
type Letter struct {
	Sink   string
	Block  block.Number
	Row    int    // position in its entry of the log
	Column string // "": the row as a whole
	Value  string // cut; "": not known
	Error  string
	At     time.Time
}

// NewDetail returns the details of a pipeline, its history in at most so many pieces.
func NewDetail(f Facts, pieces int) Detail {
	if f.Spec == nil {
		return Detail{}
	}
	d := Detail{Pieces: cut(f.Spec.History, pieces)}
	for i := range d.Pieces {
		d.Pieces[i].Sinks = make([]uint64, len(f.Sinks))
	}
	reading := f.reading()
	eachDeciding(f.Parts, func(p state.Partition, own []block.Range) {
		switch p.State {
		case state.PartitionOpen:
			spread(d.Pieces, reading.Intersect(block.NewSet(own...)).Ranges(), func(piece *Piece) *uint64 { return &piece.Reading })
		case state.PartitionDone:
			spread(d.Pieces, own, func(piece *Piece) *uint64 { return &piece.InLog })
		case state.PartitionFailed:
			spread(d.Pieces, own, func(piece *Piece) *uint64 { return &piece.Failed })
			d.Failed = append(d.Failed, FailedPartition{p, block.NewSet(own...)})
		}
	})
	sortFailed(d.Failed)
	for i, s := range f.Sinks {
		spread(d.Pieces, s.Report.Coverage.Ranges(), func(piece *Piece) *uint64 { return &piece.Sinks[i] })
	}
	return d
}

// reading returns the blocks of partitions that the processes read which run.
func (f Facts) reading() block.Set {
	var all []block.Range
	for _, p := range f.Processes {
		if p.Runs(f.Now) {
			all = append(all, p.Reading...)
		}
	}
	return block.NewSet(all...)
}

// cut cuts a range into at most so many pieces.
func cut(r block.Range, most int) []Piece {
	blocks := r.Len()
	n := min(uint64(max(most, 1)), blocks)
	pieces := make([]Piece, n)
	for i := range pieces {
		pieces[i].Range = block.Range{Start: r.Start + share(blocks, uint64(i), n), End: r.Start + share(blocks, uint64(i)+1, n)}
	}
	return pieces
}

// share returns i of n equal shares of some blocks, which may be so many that their product
// with i is no uint64.
func share(blocks, i, n uint64) block.Number {
	high, low := bits.Mul64(blocks, i)
	whole, _ := bits.Div64(high, low, n)
	return block.Number(whole)
}

// spread adds the blocks of ranges to the pieces that they are in.
func spread(pieces []Piece, ranges []block.Range, count func(*Piece) *uint64) {
	for _, r := range ranges {
		first := sort.Search(len(pieces), func(i int) bool { return pieces[i].Range.End > r.Start })
		for i := first; i < len(pieces) && pieces[i].Range.Start < r.End; i++ {
			*count(&pieces[i]) += pieces[i].Range.Intersect(r).Len()
		}
	}
}

// eachDeciding calls do with each partition, the one that was written last first, and with
// its blocks that no later one has brought, or is to bring. parts are in the order in which
// they were written.
func eachDeciding(parts []state.Partition, do func(p state.Partition, own []block.Range)) {
	var later block.Set
	for _, p := range slices.Backward(parts) {
		if own := later.Missing(p.Range()); len(own) > 0 {
			do(p, own)
		}
		later.Add(p.Range())
	}
}
