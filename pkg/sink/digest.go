package sink

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
)

// BlockDigest is what verification compares of one block: how many rows there
// are, and a sum of their content hashes, so that the order of rows inside a
// block does not matter while a row that is missing, doubled or changed does.
type BlockDigest struct {
	Rows uint64
	Sum  uint64 // wrapping sum of 64-bit hashes
}

// Digests collects the digest of each block that has rows.
type Digests map[block.Number]BlockDigest

// Add counts one row.
func (d Digests) Add(n block.Number, hash uint64) {
	b := d[n]
	b.Rows++
	b.Sum += hash
	d[n] = b
}

// Digester is the part of a [Writer] by which its content is verified.
type Digester interface {
	// Windowed reports whether a range of blocks can be verified by itself. It
	// cannot when a row of a later block replaces one of an earlier block
	// (upsert by a key without the block column): then the source has to be
	// digested as a whole.
	Windowed() bool

	// DigestSource starts the digest of rows from the source, hashed as the
	// destination would hold them.
	DigestSource() SourceDigest

	// DigestStored adds the rows that the destination holds for the blocks of
	// r, hashed in the same way. If it can tell which blocks it cannot read, it reads
	// the others and returns an [*UnreadableError].
	DigestStored(ctx context.Context, r block.Range, into Digests) error
}

// SourceDigest takes the source's rows in ascending order of blocks. It is not
// safe for concurrent use.
type SourceDigest interface {
	Add(rec arrow.RecordBatch) error
	Digests() Digests
}

// ExtraFinder is a Digester that reads rows by way of a record of them. Rows that are
// not in that record are not in its digests: they have to be looked for.
type ExtraFinder interface {
	// FindExtra looks for rows under the destination's names that are of no block. It
	// may run while others write, reads everything once or more, and changes nothing.
	FindExtra(ctx context.Context) (Extras, error)
}

// Extras is what FindExtra found.
type Extras struct {
	Looked uint64            // rows that were looked at
	Rows   uint64            // of them, those that are of no block
	Keys   map[string]uint64 // how many of these are where, for [MaxExtraKeys] of the places
	More   uint64            // rows of other places
	Below  block.Number      // rows of blocks below were not looked for
}

// MaxExtraKeys bounds the places that are named.
const MaxExtraKeys = 1000

// Add notes rows that are of no block.
func (e *Extras) Add(key string, rows uint64) {
	if rows == 0 {
		return
	}
	e.Rows += rows
	if _, known := e.Keys[key]; !known && len(e.Keys) >= MaxExtraKeys {
		e.More += rows
		return
	}
	if e.Keys == nil {
		e.Keys = make(map[string]uint64)
	}
	e.Keys[key] += rows
}
