package plan

import (
	"context"
	"errors"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
)

// probe asks for the hash of the block before one.
func probe(ctx context.Context, source Source, query *sqlcheck.Query, network string, at block.Number) (p block.Cursor, err error) {
	err = askOfTables(query, func(text string) error {
		p, err = source.Probe(ctx, text, network, at)
		return err
	})
	return p, err
}

// fork asks where the branch of a block left the chain.
func fork(ctx context.Context, source Source, query *sqlcheck.Query, left block.Cursor) (from block.Number, base block.Cursor, err error) {
	err = askOfTables(query, func(text string) error {
		from, base, err = source.Fork(ctx, text, left)
		return err
	})
	return from, base, err
}

// askOfTables asks about a block. The chain is the same for the query and for the tables
// that it reads: what is asked about a block whose rows the query cannot compute is asked
// of its tables.
func askOfTables(query *sqlcheck.Query, ask func(text string) error) error {
	err := ask(query.Text())
	for _, table := range query.Tables() {
		if !errors.Is(err, amp.ErrRow) {
			break
		}
		err = ask("SELECT _block_num FROM " + table.String())
	}
	return err
}
