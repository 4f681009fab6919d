// Package sink is the contract of a destination: what a [Writer] is given and what it
// promises, and the rules of it as code ([CommitState]). It knows neither NATS nor Amp; package
// apply brings a Writer the entries of a log, and package sinktest holds it to the
// contract.
package sink

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/state"
)

// Table is what a Writer is opened for.
type Table struct {
	Pipeline    string
	Sink        string // the sink's name in the configuration
	Schema      *arrow.Schema
	BlockColumn int    // index into Schema; an integer column without nulls
	Epoch       uint64 // of the log
	Network     string
}

// Change is one entry of the log, decoded. Its rows ascend by block and lie
// inside its Range.
type Change struct {
	entry.Header
	Records []arrow.RecordBatch // borrowed: valid until Apply returns
	Seq     uint64              // of the entry in the log; for a live change its place in the order
	Live    bool                // of the live lane, else of a partition
	After   uint64              // live: Seq of the lane's entry before this one, 0 for the first
	Rejoin  *state.Rejoin       // of the change that [Rejoin] returns; nil: it is of a log
}

// State is what a destination holds.
type State struct {
	Coverage block.Set // blocks committed in full; a block of which only some parts arrived is not in it
	Live     LiveState
	Pruned   block.Number `json:",omitempty"` // blocks below are covered and hold no rows; see [Pruner]
}

// LiveState is how far the live lane has been applied.
type LiveState = state.LiveState

// Applied counts what one call of Apply did.
type Applied struct {
	Rows    uint64 // written
	Skipped uint64 // dropped because their blocks were covered, or are the live lane's
	Deleted uint64 // undone by an Invalidate, or removed
}

// Writer is a destination. Package sinktest holds all implementations to this contract.
//
// Open is called once, first. After that State and Apply may be called
// concurrently, in this process and, on a Writer of the same destination, in
// others.
type Writer interface {
	Inspector

	// Open connects, checks that the destination can hold the table and
	// creates what is missing. Nothing is written before every check passed.
	// An error that only the user can mend is permanent (package fault) and
	// names what to change; an unreachable destination is fault.Later.
	Open(ctx context.Context, t Table) error

	// State reads what is committed.
	State(ctx context.Context) (State, error)

	// Apply makes the changes, in order, in one atomic step: rows, coverage and
	// live state together, or nothing. After an error, or a crash, the caller
	// repeats the call, perhaps with other neighbours and in another process,
	// and repeating must converge: nothing lost, nothing twice.
	//
	// History changes may come in any order and any number of times. Blocks
	// that are covered already, or at or above the live start, are dropped. A
	// part (Parts > 0) is covered by itself; the block is covered when all
	// parts of one Batch are, and parts of another Batch of the same block
	// replace what there is of it, rows and coverage, when it is not yet whole;
	// so does an entry that holds the whole block.
	//
	// Live changes are applied only in lane order: one whose Seq is not above
	// the last applied is skipped, one whose After is not the last applied
	// makes Apply return [ErrGap] without changing anything. The first live
	// change ever (Started false) is accepted as it is and fixes the live start
	// at the start of its range; what history has put at or above it is deleted
	// as by an Invalidate, for it may be of another fork. A Watermark moves the
	// cursor and covers nothing. An Invalidate deletes all rows at or above the
	// start of its range, parts as well, cuts coverage there, lowers the live
	// start to it if it is below and takes the cursor back to the block before.
	//
	// If rows have a key, and rows of different blocks may have the same one, the
	// table shows of each key the row of the highest block, and whatever is
	// deleted, the row of the highest block that is left shows again: the table is
	// what the remaining blocks give, in any order. A Writer may keep what was
	// replaced for a part of the chain only, but for all blocks at or above the
	// live start that a watermark has not left far behind. An Invalidate, or a
	// first live change, that would need more is refused: the error is permanent,
	// says how to load the table anew, and nothing is changed.
	//
	// Sequences count within an epoch: a change of an earlier epoch is skipped,
	// the first of a later one (After 0) is accepted. If it begins above the block
	// after the cursor, or at it but after another block than the cursor's (Prev),
	// the destination has not been told which of its live blocks have left the chain:
	// all of them are deleted and uncovered, and the entry becomes the live start, so
	// that what lies below is the history's again.
	//
	// A [Removal] comes alone in its call. It deletes the rows and the coverage of all
	// blocks of its range, parts as well, and of no other, so that they can be loaded
	// again. It is no part of the order of the live lane: sequence and cursor stay. Blocks
	// of the live lane are the history's afterwards, so the live start moves up to the end
	// of the range; if the cursor has not reached that, the removal is refused with an
	// [UnconfirmedError], and nothing is changed. Beyond the cursor only blocks are removed
	// of which nothing was committed: rows there are of others. It may be as dear as loading
	// the blocks was. If rows of different blocks may have the same key, and what such a row
	// had replaced was not kept, its key may be missing until the blocks have come again; then
	// the table is what all blocks give. A Writer that has to know which rows are of a block,
	// and knows it of a part of the chain only, may refuse: the error is permanent, and
	// nothing is changed.
	//
	// A [Rejoin] comes alone in its call as well. If the live state is the one that it starts
	// from, and only then, all rows at or above its block are deleted as by an Invalidate,
	// and the live state becomes the one that it names, whatever lies between: blocks below
	// the new live start that are missing are the history's. A Writer may refuse it as it may
	// refuse an Invalidate.
	//
	// [CommitState] is these rules as code. The caller has seen to it that rows ascend
	// and lie in their ranges ([CheckRows]).
	//
	// Data that the destination refuses is a *BadRowError, marked permanent
	// (package fault). A destination that cannot be reached, or is out of resources
	// for the time being, is fault.Later.
	Apply(ctx context.Context, changes []Change) (Applied, error)

	// Close releases everything. No other method runs or is called again.
	Close() error
}

// ErrNotLoaded is returned by the State of a writer that was opened to be read, of a
// destination that ampipe has loaded nothing into.
var ErrNotLoaded = errors.New("ampipe has loaded nothing into it")

// ErrGap says that a live entry before the one given has not been applied yet.
var ErrGap = errors.New("an earlier live entry has not been applied")

// BadRowError is a value that the destination cannot hold.
type BadRowError struct {
	Block  block.Number
	Row    int    // position in its entry
	Column string // "": the row as a whole
	Value  string // for people, cut to about 100 characters; "": not known
	Reason string // what is wrong and what to do, without the value itself
}

// Error names the place and the reason. A constraint may be of no column, or of several.
func (e *BadRowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("block %d, row %d of its entry: %s", e.Block, e.Row, e.Reason)
	}
	if e.Value == "" {
		return fmt.Sprintf("block %d, row %d of its entry, column %q: %s", e.Block, e.Row, e.Column, e.Reason)
	}
	return fmt.Sprintf("block %d, row %d of its entry, column %q, value %s: %s", e.Block, e.Row, e.Column, e.Value, e.Reason)
}
