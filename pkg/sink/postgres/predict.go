package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// errUnpredicted is for changes that have to be made by reading the state first.
var errUnpredicted = errors.New("the state has to be read first")

// prediction is the state that the last live transaction of a Writer has left, as long as none
// of its other transactions may have changed it. Other processes may have: the server has to
// compare. It is safe for concurrent use.
type prediction struct {
	mu      sync.Mutex
	state   *commitState // nil: not known
	others  int          // transactions of the Writer that may change it
	backoff callBackoff  // of predicting

	counting atomic.Pointer[counting] // nil before the first state is remembered
}

// forget makes the state unknown for as long as a transaction runs that may change it, until
// done is called.
func (p *prediction) forget() (done func()) {
	p.add(1)
	return func() { p.add(-1) }
}

func (p *prediction) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.others = nil, p.others+n
}

// remember sets the state that a transaction has left.
func (p *prediction) remember(l *commitState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = &commitState{stored: l.rows(), low: l.low, high: l.high}
	p.state.Live, p.state.Pruned = l.Live, l.Pruned
}

// take returns what is probably committed of a window of blocks, and forgets it.
func (p *prediction) take(window block.Range) (l *commitState, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.state
	p.state = nil
	if last == nil || p.others > 0 {
		return nil, false
	}
	l = newCommitState(window)
	if l.low < last.low || l.high > last.high || p.backoff.take() {
		return nil, false
	}
	l.Live, l.Pruned = last.Live, last.Pruned
	for _, c := range last.stored {
		if int64(c.blocks.Start) < l.high && int64(c.blocks.End) > l.low {
			l.stored = append(l.stored, c)
		}
	}
	l.fill()
	return l, true
}

// applyPredicted makes live changes that only add, in a transaction that reads nothing and takes
// one round trip: the server compares the state with what the last transaction has left, holds
// the table alone, and counts the rows. In any doubt nothing is committed. The error is
// [errUnpredicted] then, or if that is not to be tried.
func (w *Writer) applyPredicted(ctx context.Context, s *scratch, changes []sink.Change) (sink.Applied, error) {
	if w.spec.replaces() || w.altering.Load() || !slices.ContainsFunc(changes, func(c sink.Change) bool { return c.Live }) {
		return sink.Applied{}, errUnpredicted
	}
	l, ok := w.predicted.take(window(changes))
	if !ok {
		return sink.Applied{}, errUnpredicted
	}
	last := l.Live
	var (
		applied  sink.Applied
		portions []portion
		extended []any
		rows     *pgcopy.Reader
	)
	err := fault.Catch(func() (err error) {
		if applied, portions, err = w.predict(s, l, changes); err == nil {
			extended, err = l.extension()
		}
		return err
	})
	if err != nil {
		return sink.Applied{}, errUnpredicted // that says what is wrong
	}
	if len(portions) > 0 {
		rows = newReader(portions, s.buf)
		defer func() { s.buf, _ = rows.Stop() }()
	}
	o := pgx.TxOptions{IsoLevel: pgx.ReadCommitted}
	count := w.predicted.counting.Load()
	done, err := w.pool.runScript(ctx, o, lockPatience, rows, func(q *script) {
		q.add("LOCK TABLE ONLY " + w.spec.quoted() + " IN ROW EXCLUSIVE MODE")
		q.add(count.lock, w.spec.quoted(), tableLock, w.id)
		if rows != nil {
			q.add(w.spec.copyInto(w.spec.quoted()))
		}
		live := append(liveColumns(l.Live), liveColumns(last)...)
		q.add(statement("extend-state"), slices.Concat([]any{w.id}, live, extended, []any{int64(l.Pruned)})...)
		q.add(count.check, append(l.checkArgs(w.id, w.spec), int64(applied.Rows))...)
	})
	switch _, refused := refusal(err); {
	case err == nil:
		w.predicted.backoff.clear()
		w.predicted.remember(l)
		return applied, nil
	case ctx.Err() != nil:
	case errors.Is(err, errUnpredicted):
		return sink.Applied{}, err
	case done.statements == 0:
		// A connection that was broken before. If its server has got the transaction all the
		// same, and makes it later, it finds another state.
		return sink.Applied{}, errUnpredicted
	case refused && !lost(err) && sqlState(err) != lockNotAvailable:
		w.predicted.backoff.conflict()
		return sink.Applied{}, errUnpredicted
	}
	return sink.Applied{}, w.classed(ctx, "write rows", err)
}

// predict adds changes to a state and returns the rows that have to be written. It fails unless
// they only add to the epoch of the state.
func (w *Writer) predict(s *scratch, l *commitState, changes []sink.Change) (sink.Applied, []portion, error) {
	var applied sink.Applied
	last := l.Live
	for _, c := range changes {
		if !c.Live || c.Rejoin != nil || !last.Started || c.Epoch != last.Epoch {
			return applied, nil, errUnpredicted
		}
	}
	steps, err := w.take(l, changes)
	if err != nil {
		return applied, nil, err
	}
	var runs []sink.RowRange
	for _, step := range steps {
		if len(step.Delete) > 0 {
			return applied, nil, errUnpredicted
		}
		runs = append(runs, step.Write...)
		applied.Skipped += step.Skipped
	}
	// A transaction that changes the sequence cannot be made twice.
	if l.Live.Epoch != last.Epoch || l.Live.Seq <= last.Seq {
		return applied, nil, errUnpredicted
	}
	if err := w.partitionsFor(steps); err != nil {
		return applied, nil, err
	}
	portions, err := w.spec.prepare(runs)
	if err != nil || len(portions) == 0 {
		return applied, nil, err
	}
	if w.spec.upsert() {
		if w.stagingBackoff.waits() {
			return applied, nil, errUnpredicted
		}
		if _, err := s.dedupe(w.spec, nil, portions); err != nil {
			return applied, nil, err
		}
	}
	applied.Rows = countRows(portions)
	return applied, portions, nil
}

// preparePredicted prepares what [Writer.applyPredicted] needs in a session, within a
// transaction. It returns false if nothing may be prepared there, or predicted. What the server
// refuses to prepare is not tried again in this session: the statements of other transactions find
// out what is wrong.
func (w *Writer) preparePredicted(ctx context.Context, conn *pgx.Conn) (ok bool, err error) {
	own := sessionOf(conn)
	switch {
	case w.spec.replaces() || w.altering.Load() || !own.keeps() || own.predicts == refusesTo:
		return false, nil
	case own.predicts == readyTo:
		return true, nil
	}
	if _, err := conn.Exec(ctx, "SAVEPOINT predicted"); err != nil {
		return false, err
	}
	end := "RELEASE SAVEPOINT predicted"
	err = w.prepareCounting(ctx, conn, own)
	if err != nil {
		if _, refused := refusal(err); !refused {
			return false, err
		}
		end = "ROLLBACK TO SAVEPOINT predicted"
	}
	own.predicts = refusesTo
	if err == nil {
		own.predicts = readyTo
	}
	_, err = conn.Exec(ctx, end)
	return own.predicts == readyTo, err
}

// prepareCounting learns how rows of the table are counted, and prepares the statements.
func (w *Writer) prepareCounting(ctx context.Context, conn *pgx.Conn, own *session) error {
	count := w.predicted.counting.Load()
	if count == nil {
		var divided bool
		if err := conn.QueryRow(ctx, statement("ask-divided"), w.spec.quoted()).Scan(&divided); err != nil {
			return err
		}
		count = ofTable
		if divided {
			count = ofDivided
		}
		w.predicted.counting.Store(count)
	}
	return own.prepareAll(ctx, conn, w.pool.settle(own, "$1"), count.lock, statement("extend-state"), count.check)
}
