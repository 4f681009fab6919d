package plan

import (
	"context"
	"errors"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
)

// The chain is the same for the query and for the tables that it reads. So what is asked
// about a block whose rows the query cannot compute is asked of its tables.

// probe asks for the hash of the block before one.
func probe(ctx context.Context, source Source, query *sqlcheck.Query, network string, at block.Number) (block.Cursor, error) {
	p, err := source.Probe(ctx, query.Text(), network, at)
	for _, plain := range plainQueries(query) {
		if !errors.Is(err, amp.ErrRow) {
			break
		}
		p, err = source.Probe(ctx, plain, network, at)
	}
	return p, err
}

// fork asks where the branch of a block left the chain.
func fork(ctx context.Context, source Source, query *sqlcheck.Query, left block.Cursor) (block.Number, block.Cursor, error) {
	from, base, err := source.Fork(ctx, query.Text(), left)
	for _, plain := range plainQueries(query) {
		if !errors.Is(err, amp.ErrRow) {
			break
		}
		from, base, err = source.Fork(ctx, plain, left)
	}
	return from, base, err
}

// plainQueries returns a query of the block numbers for each table that a query reads.
func plainQueries(query *sqlcheck.Query) []string {
	var plain []string
	for _, table := range query.Tables() {
		plain = append(plain, "SELECT _block_num FROM "+table.String())
	}
	return plain
}
