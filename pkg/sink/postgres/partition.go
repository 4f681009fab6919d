package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// longestDivided is how long the name of a table may be whose partitions are named after it
// and their first block.
const longestDivided = maxIdentifier - len("_p9223372036854775807")

// setPartitions takes over how the table is divided.
func (g *tableSpec) setPartitions(by config.BlockPartitions) error {
	if by.Blocks == 0 {
		return nil
	}
	name := g.columns[g.block].name
	g.perPartition = by.Blocks
	var wrong []error
	if by.Column != "" && by.Column != name {
		wrong = append(wrong, fmt.Errorf("partition_by names column %q, and a table is divided by its block column, %q; "+
			"write that, or leave column out", by.Column, name))
	}
	if g.upsert() && !g.keyed(g.block) {
		wrong = append(wrong, fmt.Errorf("partition_by: the key lacks the block column %q, and a primary key of PostgreSQL holds all columns "+
			"that its table is divided by; put it into the key, or take partition_by out", name))
	}
	if len(g.table) > longestDivided {
		wrong = append(wrong, fmt.Errorf("the table name has %d bytes, and partition_by leaves %d for it, since partitions are named after it; "+
			"use a shorter one", len(g.table), longestDivided))
	}
	return errors.Join(wrong...)
}

// comparePartitions checks whether partitions can be added to an existing table.
func (s *inspection) comparePartitions(g *tableSpec, deny func(string, ...any)) {
	t, name := s.table, quoted(g.columns[g.block].name)
	switch {
	case t.kind == "r":
		deny("partition_by is set, and the table is there as a plain one, which PostgreSQL does not divide; take partition_by out, " +
			"load into another table, or make it the first partition of a new one as docs/postgres.md shows under Partitions")
	case !t.byBlock:
		deny("partition_by is set, and the table is divided by something else than ranges of the column %s; take partition_by out, "+
			"and make its partitions yourself, or load into another table", name)
	case t.rest:
		deny("partition_by is set, and the table has a DEFAULT partition, which would be searched for each one that is added; " +
			"take partition_by out, or run ALTER TABLE … DETACH PARTITION and move its rows")
	case !t.owned:
		deny("partition_by is set, and the user %q, who does not own the table, may not add partitions to it; "+
			"as an administrator, run ALTER TABLE %s OWNER TO %s", s.user, g.quoted(), quoted(s.user))
	case !s.schema.create:
		deny("partition_by is set, and the user %q may not create partitions in the schema %q; run GRANT CREATE ON SCHEMA %s TO %s",
			s.user, g.schema, quoted(g.schema), quoted(s.user))
	}
}

// partitions are the blocks that have one. They are read from the server when a block is not
// among them. It is safe for concurrent use.
type partitions struct {
	mu    sync.Mutex
	known block.Set
}

func (p *partitions) set(s block.Set) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = s
}

func (p *partitions) forget() { p.set(block.Set{}) }

// get returns a set that nobody changes.
func (p *partitions) get() block.Set {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known
}

// missingPartitions are blocks of which rows are to be written, and no partition is known.
// They are made outside of the transaction that needs them: it may have to be rolled back,
// and others wait for it then.
type missingPartitions []block.Number

func (m missingPartitions) Error() string {
	return fmt.Sprintf("no partition is known for blocks %v", []block.Number(m))
}

// errNoPartition says that a partition is gone that was there.
var errNoPartition = errors.New("a partition of the table has been removed")

// noPartition reports whether the server has found no partition for a row.
func noPartition(err error) bool {
	pg, ok := refusal(err)
	return ok && pg.Code == checkViolation && pg.ConstraintName == "" && !withinTrigger(pg)
}

// partitionsFor returns [missingPartitions] if rows that steps write have none.
func (w *Writer) partitionsFor(steps []sink.Step) error {
	size := block.Number(w.spec.perPartition)
	if size == 0 {
		return nil
	}
	known := w.partitions.get()
	var missing missingPartitions
	for _, step := range steps {
		for _, run := range step.Write {
			blocks, err := sink.BlocksOf(run.Record, w.spec.block)
			if err != nil {
				return err
			}
			for row := run.From; row < run.To; {
				n := blocks.At(row)
				if !known.Has(n) {
					missing = append(missing, n)
				}
				row = max(row+1, blocks.Search(endOfPartition(n, known, size)))
			}
		}
	}
	if len(missing) > 0 {
		return missing
	}
	return nil
}

// endOfPartition returns the block up to which others share the partition of n.
func endOfPartition(n block.Number, known block.Set, size block.Number) block.Number {
	for _, r := range known.Ranges() {
		if r.Has(n) {
			return r.End // neighbours are as good
		}
	}
	return n - n%size + size
}

// addPartitions makes the partitions of blocks that lack one. Writers are not held up: a
// partition is made as a table of its own, and attaching it takes a lock that conflicts with
// no write, but with those of other processes that add some. The table comes first, as in
// every statement of others, so that nobody waits for each other.
func (w *Writer) addPartitions(ctx context.Context, blocks []block.Number) error {
	g := w.spec
	var bounds block.Set
	err := w.pool.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, lockPatience, func(tx pgx.Tx) error {
		run := runner(ctx, tx)
		if err := run("LOCK TABLE ONLY " + g.quoted() + " IN SHARE UPDATE EXCLUSIVE MODE"); err != nil {
			return err
		}
		all, err := partitionsOf(ctx, tx, g)
		if err != nil {
			return err
		}
		for _, p := range all {
			bounds.Add(p.blocks)
		}
		for _, n := range blocks {
			if bounds.Has(n) {
				continue
			}
			r := g.partitionOf(n, bounds)
			for _, sql := range g.createPartition(r) {
				if err := run(sql); err != nil {
					return err
				}
			}
			bounds.Add(r)
		}
		return nil
	})
	if sqlState(err) == duplicateTable {
		return fault.Permanent(fmt.Errorf("table %s: a table has the name of a partition that is needed, and is none of its partitions; "+
			"if it was detached, attach it again, rename it or drop it: %w", g, err))
	}
	if err != nil {
		return err
	}
	w.partitions.set(bounds)
	return nil
}

// partition is one of a table.
type partition struct {
	oid    uint32
	name   string // quoted, with its schema
	blocks block.Range
}

// partitionsOf reads the partitions of a table that are of ranges of blocks.
func partitionsOf(ctx context.Context, tx pgx.Tx, g *tableSpec) ([]partition, error) {
	type row struct {
		partition
		from, to *int64
	}
	rows, err := collect(ctx, tx, "read the partitions", func(r *row) []any {
		return []any{&r.oid, &r.name, &r.from, &r.to}
	}, statement("ask-partitions"), g.quoted())
	if err != nil {
		return nil, err
	}
	var all []partition
	for _, r := range rows {
		if r.from == nil || r.to == nil || *r.to <= 0 {
			continue
		}
		r.blocks = block.Range{Start: block.Number(max(0, *r.from)), End: block.Number(*r.to)}
		all = append(all, r.partition)
	}
	return all, nil
}

// partitionOf returns the blocks of the partition that n needs: as many as are configured,
// from a multiple of that on, unless some of them have one already, because that was changed
// or somebody has made them.
func (g *tableSpec) partitionOf(n block.Number, bounds block.Set) block.Range {
	size := block.Number(g.perPartition)
	aligned := block.Range{Start: n - n%size, End: n - n%size + size}
	for _, free := range bounds.Missing(aligned) {
		if free.Has(n) {
			return free
		}
	}
	return aligned
}

// createPartition returns the statements that make a partition and add it.
func (g *tableSpec) createPartition(r block.Range) []string {
	name := quoted(g.schema) + "." + quoted(fmt.Sprintf("%s_p%d", g.table, r.Start))
	all := []string{fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE)",
		name, g.quoted())}
	if !g.upsert() {
		all = append(all, fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", name))
	}
	return append(all, fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d)", g.quoted(), name, r.Start, r.End))
}
