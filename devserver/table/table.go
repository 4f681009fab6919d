// Package table owns what a dataset is made of: tables with a schema, a visible
// range of blocks and rows in ascending block order. Where the rows come from
// (a synthetic chain, Parquet files, record batches) is a [Source].
package table

import (
	"context"
	"iter"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
)

// Source is where the rows of one table come from. It is safe for concurrent
// use.
type Source interface {
	// Schema is constant.
	Schema() *arrow.Schema
	// Snapshot freezes what the table holds now: later growth or a fork of the
	// chain does not change it.
	Snapshot() Snapshot
}

// Snapshot is the content of a table at one moment. It is safe for concurrent
// use and needs no closing.
type Snapshot interface {
	// Range is the visible range of blocks; false if the table has no data yet.
	Range() (amp.Range, bool)
	// Until returns the snapshot as if its head were block last. A snapshot that
	// ends at or below last is returned as it is; one that begins above it has
	// no data.
	Until(last block.Number) Snapshot
	// Rows counts the rows of the blocks given, exactly or by a good estimate.
	Rows(blocks block.Range) uint64
	// Scan yields the rows of the blocks given in ascending order, with only the
	// columns named by index into the schema, in that order. It yields no empty
	// batch. The consumer releases what it is given.
	Scan(ctx context.Context, blocks block.Range, columns []int) iter.Seq2[arrow.RecordBatch, error]
}

// Table is a named source in a dataset.
type Table struct {
	Name   string
	Source Source
	// Sorted names the columns that ascend with the block number, the block
	// column included; a query ordered by one of them needs no sort (AP 4.5).
	Sorted []string
	// Numbers names the columns that hold the block number of their row: the
	// block column and columns equal to it.
	Numbers []string
	// Chain is the chain that the rows belong to; nil if there is no blocks table
	// for it, and so no streaming query (AP 3.7).
	Chain Chain
}

// NewTable names a source of which only the block column is known to hold the
// block number and to ascend.
func NewTable(name string, source Source) *Table {
	return &Table{Name: name, Source: source, Sorted: []string{BlockColumn}, Numbers: []string{BlockColumn}}
}
