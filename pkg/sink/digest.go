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

// Digester is a Writer whose content can be verified.
type Digester interface {
	// Windowed tells whether a range of blocks can be verified by itself. It
	// cannot when a row of a later block replaces one of an earlier block
	// (upsert by a key without the block column): then the source has to be
	// digested as a whole.
	Windowed() bool

	// DigestSource starts the digest of rows from the source, hashed as the
	// destination would hold them.
	DigestSource() SourceDigest

	// DigestStored adds the rows that the destination holds for the blocks of
	// r, hashed in the same way.
	DigestStored(ctx context.Context, r block.Range, into Digests) error
}

// SourceDigest takes the source's rows in ascending order of blocks. It is not
// safe for concurrent use.
type SourceDigest interface {
	Add(rec arrow.RecordBatch) error
	Digests() Digests
}
