package plan

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
)

// Source is what planning needs of Amp; [amp.Client] is one.
type Source interface {
	Info(ctx context.Context, query string) (*arrow.Schema, error)
	Head(ctx context.Context, query string) ([]amp.Range, error)
	Fetch(ctx context.Context, query string) iter.Seq2[amp.Message, error]
	Probe(ctx context.Context, query, network string, at block.Number) (block.Cursor, error)
	Fork(ctx context.Context, query string, left block.Cursor) (from block.Number, base block.Cursor, err error)
}

// Checked is a query that can be loaded, and what is known about it.
type Checked struct {
	Query    *sqlcheck.Query
	Schema   *arrow.Schema
	Column   int         // index of the block column in Schema
	Head     []amp.Range // what the server has; empty while it has nothing
	Network  string      // empty while the server has nothing
	Warnings []string    // what the user should know but may have meant

	Workers   int          // queries that may be open at once
	First     block.Number // first block that is loaded
	Follow    bool         // the chain is followed from LiveStart on
	LiveStart block.Number // first block of the live lane, if there is none yet
}

// BlockColumn returns the name of the block column.
func (c *Checked) BlockColumn() string { return c.Schema.Field(c.Column).Name }

// Check asks the server about the pipeline's query, once, before anything is
// queued. A query that would give wrong rows when it is read in parts is
// refused with the reason and the fix.
func Check(ctx context.Context, source Source, p *config.Pipeline) (*Checked, error) {
	query, err := sqlcheck.Parse(p.Source.Query)
	if err != nil {
		return nil, fmt.Errorf("source.query: %w", err)
	}
	// The head does not depend on the columns, and a round trip may be long.
	var head []amp.Range
	var headErr error
	asking, cancel := context.WithCancel(ctx)
	answered := beside(func() { head, headErr = source.Head(asking, query.Head()) })
	defer answered()
	defer cancel()
	schema, err := source.Info(ctx, query.Text())
	if err != nil {
		return nil, fmt.Errorf("ask %s for the schema of source.query: %w", p.Source.Amp, err)
	}
	c := &Checked{
		Query: query, Schema: schema, Warnings: query.Warnings(p.Source.BlockColumn), First: p.Range.MinBlock, Workers: p.Extract.Workers,
	}
	if c.Column, err = blockColumn(schema, p.Source.BlockColumn); err != nil {
		return nil, fault.Permanent(fmt.Errorf("source.query: %w", err))
	}
	if err := query.Partitionable(c.BlockColumn()); err != nil {
		return nil, fmt.Errorf("source.query: %w", err)
	}
	if err := c.checkHex(ctx, source); err != nil {
		return nil, fmt.Errorf("source.query: %w", err)
	}
	answered()
	if headErr != nil {
		return nil, fmt.Errorf("ask %s for the head of source.query: %w", p.Source.Amp, headErr)
	}
	c.Head = head
	if len(c.Head) > 0 {
		c.Network = c.Head[0].Network
	}
	if err := c.checkStart(p.Range.MinBlock); err != nil {
		return nil, err
	}
	if err := c.checkLive(ctx, source, p.Range); err != nil {
		return nil, fmt.Errorf("source.query: %w", err)
	}
	return c, nil
}

// beside runs f and returns a function that waits until it has returned.
func beside(f func()) (wait func()) {
	var running sync.WaitGroup
	running.Go(f)
	return running.Wait
}

// History returns the blocks that are loaded in partitions: up to max_block, or to the
// block from which the chain is followed.
func (c *Checked) History(want config.Range) block.Range {
	history := block.Range{Start: want.MinBlock, End: want.MinBlock}
	switch {
	case c.Follow:
		history.End = c.LiveStart
	case want.MaxBlock != nil:
		history.End = *want.MaxBlock
	}
	history.End = max(history.End, history.Start)
	return history
}

// Final returns the blocks of the pipeline that the server has and that lie at least
// reorg_buffer below the head.
func (c *Checked) Final(want config.Range) block.Range {
	final := block.Range{Start: want.MinBlock, End: want.MinBlock}
	for i, have := range c.Head {
		end := liveStart(want, have)
		if i == 0 || end < final.End {
			final.End = end
		}
	}
	if want.MaxBlock != nil {
		final.End = min(final.End, *want.MaxBlock)
	}
	final.End = max(final.End, final.Start)
	return final
}

// blockColumn finds the column that carries the block number.
func blockColumn(schema *arrow.Schema, configured string) (int, error) {
	candidates := []string{configured}
	if configured == "" {
		candidates = []string{"_block_num", "block_num"}
	}
	for _, name := range candidates {
		found := schema.FieldIndices(name)
		if len(found) == 0 {
			continue
		}
		if t := schema.Field(found[0]).Type; !arrow.IsInteger(t.ID()) {
			return 0, fmt.Errorf("the block column %q has type %s; it must be an integer", name, t)
		}
		return found[0], nil
	}
	return 0, fmt.Errorf("the output has no block column %s; it has %s. Add _block_num to the select list, "+
		"or name the column in source.block_column", strings.Join(candidates, " or "), columns(schema))
}

func columns(schema *arrow.Schema) string {
	const most = 20
	var names []string
	for i, f := range schema.Fields() {
		if i == most {
			names = append(names, fmt.Sprintf("… (%d in all)", schema.NumFields()))
			break
		}
		names = append(names, fault.Shorten(f.Name, 64))
	}
	return strings.Join(names, ", ")
}

// checkHex refuses a binary column compared with '0x…' text: the server accepts
// such a query and fails only when rows are read (AP 4.7). A query without such text needs no
// columns of tables to be known.
func (c *Checked) checkHex(ctx context.Context, source Source) error {
	if c.Query.HexComparisons(func(string) bool { return true }) == nil {
		return nil
	}
	binary := map[string]bool{}
	note := func(schema *arrow.Schema) {
		for _, f := range schema.Fields() {
			if (arrow.IsBinaryLike(f.Type.ID()) && !isText(f.Type.ID())) || f.Type.ID() == arrow.FIXED_SIZE_BINARY {
				binary[f.Name] = true
			}
		}
	}
	note(c.Schema)
	for _, table := range c.Query.Tables() {
		schema, err := source.Info(ctx, "SELECT * FROM "+table.String())
		if err != nil {
			return fmt.Errorf("ask for the columns of %s: %w", table, err)
		}
		note(schema)
	}
	return c.Query.HexComparisons(func(column string) bool { return binary[column] })
}

func isText(id arrow.Type) bool {
	return id == arrow.STRING || id == arrow.LARGE_STRING || id == arrow.STRING_VIEW
}

// checkStart refuses a range that begins before the server's data: its blocks
// would never come.
func (c *Checked) checkStart(from block.Number) error {
	var errs []error
	for _, have := range c.Head {
		if !have.Numbers.Empty() && from < have.Numbers.Start {
			errs = append(errs, fault.Permanent(fmt.Errorf("range.min_block is %d, but the server's data of %s begin at block %d: "+
				"set min_block: %d", from, have.Network, have.Numbers.Start, have.Numbers.Start)))
		}
	}
	return errors.Join(errs...)
}
