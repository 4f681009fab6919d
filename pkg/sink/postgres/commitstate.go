package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

var errForgotten = fault.Permanent(errors.New("the row of this table in ampipe.tables is gone: " +
	"somebody made ampipe forget the table while it was being loaded; start this sink again"))

// allParts is the end of the last part of a block. Parts are numbered from 0, and the last
// one reaches to there, so that all of them together are what a whole block is.
const allParts = 1<<31 - 1

// covered is one row of ampipe.coverage.
type covered struct {
	blocks   block.Range
	from, to int32 // parts; all of them if the blocks are whole
	batch    string
	of       int32
}

func (c covered) whole() bool { return c.of == 0 }

// commitState is what is committed of a window of blocks, and the rows that say so.
type commitState struct {
	sink.CommitState
	stored    []covered
	low, high int64 // the window: blocks from one on, up to another
}

// everything is a window on all blocks.
var everything = block.Range{Start: 0, End: block.Max + 1}

// newCommitState returns one of which nothing is known, for a window of blocks and those that
// touch it.
func newCommitState(window block.Range) *commitState {
	return &commitState{low: int64(window.Start) - 1, high: int64(min(window.End, block.Max)) + 1}
}

// queueCommitState makes a batch read what is committed of the blocks of a window
// and of those that touch it.
func queueCommitState(b *pgx.Batch, id int32, window block.Range) *commitState {
	l := newCommitState(window)
	b.Queue(statement("read-live"), id).Query(func(rows pgx.Rows) error {
		read, err := pgx.CollectExactlyOneRow(rows, scanLive)
		l.Live, l.Pruned = read.Live, read.Pruned
		if errors.Is(err, pgx.ErrNoRows) {
			return errForgotten
		}
		return err
	})
	b.Queue(statement("read-coverage"), id, l.low, l.high).Query(func(rows pgx.Rows) (err error) {
		if l.stored, err = pgx.CollectRows(rows, scanCovered); err == nil {
			l.fill()
		}
		return err
	})
	return l
}

// fill works out the set of blocks from the stored rows.
func (l *commitState) fill() {
	for _, c := range l.stored {
		if c.whole() {
			l.Coverage.Add(c.blocks)
			continue
		}
		if l.Partial == nil {
			l.Partial = make(map[block.Number]sink.Partial)
		}
		p := l.Partial[c.blocks.Start]
		p.Batch, p.Parts = c.batch, int(c.of)
		for part := c.from; part < min(c.to, c.of); part++ {
			p.Have = append(p.Have, int(part)) // rows come in the order of their parts
		}
		l.Partial[c.blocks.Start] = p
	}
}

// rows returns the rows that say what is committed now.
func (l *commitState) rows() []covered {
	var rows []covered
	for _, r := range l.Coverage.Ranges() {
		rows = append(rows, covered{blocks: r, to: allParts})
	}
	for n, p := range l.Partial {
		for i := 0; i < len(p.Have); {
			first := i
			for i++; i < len(p.Have) && p.Have[i] == p.Have[i-1]+1; i++ {
			}
			c := covered{blocks: block.Closed(n, n), from: int32(p.Have[first]), to: int32(p.Have[i-1]) + 1, batch: p.Batch, of: int32(p.Parts)}
			if int(c.to) == p.Parts {
				c.to = allParts
			}
			rows = append(rows, c)
		}
	}
	return rows
}

// coverageColumns are rows of ampipe.coverage, column by column.
type coverageColumns struct {
	starts, ends []int64
	from, to     []int32
	batches      []*string
	of           []*int32
}

func (n *coverageColumns) add(c covered) {
	n.starts, n.ends = append(n.starts, int64(c.blocks.Start)), append(n.ends, int64(c.blocks.End))
	n.from, n.to = append(n.from, c.from), append(n.to, c.to)
	var batch *string
	var of *int32
	if !c.whole() {
		batch, of = &c.batch, &c.of
	}
	n.batches, n.of = append(n.batches, batch), append(n.of, of)
}

// args returns the arguments of a statement: some, and the columns.
func (n *coverageColumns) args(some ...any) []any {
	return append(some, n.starts, n.ends, n.from, n.to, n.batches, n.of)
}

// queueChanges makes a batch store how the state differs from what it held
// when it was read.
func (l *commitState) queueChanges(b *pgx.Batch, id int32, before sink.LiveState) {
	had, has := make(map[covered]bool), make(map[covered]bool)
	for _, c := range l.stored {
		had[c] = true
	}
	var n coverageColumns
	for _, c := range l.rows() {
		has[c] = true
		if !had[c] {
			n.add(c)
		}
	}
	var gone []int64
	var goneParts []int32
	for _, c := range l.stored {
		if !has[c] {
			gone, goneParts = append(gone, int64(c.blocks.Start)), append(goneParts, c.from)
		}
	}
	if len(gone) > 0 {
		b.Queue(statement("drop-coverage"), id, gone, goneParts).Exec(expect(len(gone), "DELETE", "coverage"))
	}
	if len(n.starts) > 0 {
		b.Queue(statement("add-coverage"), n.args(id)...).Exec(expect(len(n.starts), "INSERT", "coverage"))
	}
	if l.Live != before {
		b.Queue(statement("write-live"), append([]any{id}, liveColumns(l.Live)...)...).Exec(expect(1, "UPDATE", "tables"))
	}
}

// errUnchecked is for a transaction that the server has not let commit.
var errUnchecked = errors.New("the server has found something to look at before the commit")

// queueCheck makes a batch fail with [errUnchecked] unless the state is stored, and nothing
// is to be looked at that [tableSpec.queueGuard] asks.
func (l *commitState) queueCheck(b *pgx.Batch, id int32, g *tableSpec) {
	b.Queue(checkWritten, l.checkArgs(id, g)...).QueryRow(func(row pgx.Row) error {
		var one int
		err := row.Scan(&one)
		if sqlState(err) == invalidText {
			return errUnchecked
		}
		return err
	})
}

// checkArgs returns the arguments of the statement that compares the state with what is stored.
func (l *commitState) checkArgs(id int32, g *tableSpec) []any {
	var n coverageColumns
	for _, c := range l.rows() {
		n.add(c)
	}
	return append(n.args(g.quoted(), !g.upsert(), id, l.low, l.high), liveColumns(l.Live)...)
}

// extension returns the first block of the range whose end differs from what it was when the
// state was read, and both ends, or three times nil if nothing differs. It fails if more than that
// differs.
func (l *commitState) extension() ([]any, error) {
	rows := l.rows()
	fresh := slices.DeleteFunc(slices.Clone(rows), func(c covered) bool { return slices.Contains(l.stored, c) })
	gone := slices.DeleteFunc(slices.Clone(l.stored), func(c covered) bool { return slices.Contains(rows, c) })
	switch {
	case len(gone) == 0 && len(fresh) == 0:
		return make([]any, 3), nil
	case len(gone) == 1 && len(fresh) == 1 && gone[0].whole() && fresh[0].whole() && gone[0].blocks.Start == fresh[0].blocks.Start:
		return []any{int64(gone[0].blocks.Start), int64(gone[0].blocks.End), int64(fresh[0].blocks.End)}, nil
	default:
		return nil, errUnpredicted
	}
}

func scanCovered(row pgx.CollectableRow) (covered, error) {
	var (
		c          covered
		start, end int64
		batch      *string
		of         *int32
	)
	if err := row.Scan(&start, &end, &c.from, &c.to, &batch, &of); err != nil {
		return covered{}, err
	}
	c.blocks = block.Range{Start: block.Number(start), End: block.Number(end)}
	if batch != nil && of != nil {
		c.batch, c.of = *batch, *of
	}
	return c, nil
}

// scanLive reads a state without its coverage. Its numbers are below 2^63: sequences count
// messages, and block numbers end there.
func scanLive(row pgx.CollectableRow) (sink.State, error) {
	var (
		pruned                    int64
		epoch, seq, start, number *int64
		network                   *string
		hash                      []byte
	)
	if err := row.Scan(&epoch, &seq, &start, &network, &number, &hash, &pruned); err != nil {
		return sink.State{}, err
	}
	s := sink.State{Pruned: block.Number(pruned)}
	if epoch == nil || seq == nil || start == nil {
		return s, nil
	}
	s.Live = sink.LiveState{Started: true, Epoch: uint64(*epoch), Seq: uint64(*seq), Start: block.Number(*start)}
	if network != nil && number != nil {
		s.Live.Cursor = block.Cursor{Network: *network, Number: block.Number(*number), Hash: block.Hash(hash)}
	}
	return s, nil
}

// liveColumns returns the values of the columns of a live state.
func liveColumns(s sink.LiveState) []any {
	if !s.Started {
		return make([]any, 6)
	}
	all := []any{int64(s.Epoch), int64(s.Seq), int64(s.Start), nil, nil, nil}
	if s.Cursor != (block.Cursor{}) {
		all = append(all[:3], s.Cursor.Network, int64(s.Cursor.Number), s.Cursor.Hash[:])
	}
	return all
}

// checkSequence refuses what the table of live states cannot hold.
func checkSequence(c sink.Change) error {
	if c.Epoch > math.MaxInt64 || c.Seq > math.MaxInt64 {
		return fault.Permanent(fmt.Errorf("live entry %d of epoch %d is numbered above 2^63; the log is damaged or was not "+
			"written by ampipe", c.Seq, c.Epoch))
	}
	return nil
}

// State reads what is committed. It may be called concurrently.
func (w *Writer) State(ctx context.Context) (sink.State, error) {
	if w.pool == nil {
		return sink.State{}, errNotOpen
	}
	var b pgx.Batch
	l := queueCommitState(&b, w.id, everything)
	err := w.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return tx.SendBatch(ctx, &b).Close()
	})
	switch {
	case w.id == 0 && (errors.Is(err, errForgotten) || sqlState(err) == undefinedTable):
		return sink.State{}, fault.Permanent(fmt.Errorf("table %s: %w; has the pipeline been run?", w.spec, sink.ErrNotLoaded))
	case err != nil:
		return sink.State{}, w.classed(ctx, "read the state", err)
	}
	return l.State, nil
}
