package postgres

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
)

// openLock serialises the migrations of the schema ampipe in a database, in all
// processes. Nothing else is shared by tables that have nothing to do with each other.
const openLock int64 = 0x616d7069706530 // "ampipe0"

// openTableLock is the class of the locks that serialise opening a table, so that it
// is made, and truncated, exactly once. Their other half is a hash of its name.
const openTableLock int32 = 0x616d706f // "ampo"

// tableLock is the class of the locks of tables; their other half is the table's
// id. A transaction that only adds to a table may hold it shared, one that takes away
// holds it alone.
const tableLock int32 = 0x616d7069 // "ampi"

// Locks are waited for in portions: a wait holds a place in the queue, and perhaps a
// snapshot that keeps VACUUM from cleaning up. After each portion the transaction
// begins anew, and the sink says whom it waits for.
const (
	lockPatience    = 3 * time.Second  // of transactions that write
	longestPatience = 48 * time.Second // of those that have been overtaken again and again
	openPatience    = time.Second      // of opening a table: TRUNCATE and ALTER TABLE hold up those who read it
	migratePatience = 12 * time.Second // of a migration, at most: everybody waits behind it
	readPatience    = 30 * time.Second // of transactions that only read
)

// patience is how long a transaction that needs the table alone waits for those that
// write to it. If they take longer than it does they overtake it each time that it
// begins anew, so it doubles each time. It is safe for concurrent use.
type patience struct{ failed atomic.Int32 }

func (p *patience) now() time.Duration {
	return min(lockPatience<<min(p.failed.Load(), 8), longestPatience)
}

// note remembers whether a transaction has waited in vain.
func (p *patience) note(err error) {
	switch {
	case err == nil:
		p.failed.Store(0)
	case sqlState(err) == lockNotAvailable:
		p.failed.Add(1)
	}
}

// lockMode is how a transaction holds the lock of its table.
type lockMode int

const (
	lockShared lockMode = iota
	lockAlone
	// lockFree is lockAlone where nobody else has the lock, and lockShared otherwise: what
	// is in a hurry saves the confirmation, and waits for nobody.
	lockFree
)

// written is what a transaction that writes to the table begins with.
type written struct {
	*commitState               // of a window of blocks
	replaced     *replacedRows // what was replaced
	alone        bool          // it has the table alone
}

// inWrite runs f in a transaction that writes to the table; see [sessions.inTx]. It begins
// with taking the locks, and with reading what is committed of a window of blocks and what
// was replaced.
func (w *Writer) inWrite(ctx context.Context, mode lockMode, window block.Range, f func(*transaction, *written) error) error {
	o, patience := pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, lockPatience
	if mode == lockAlone {
		patience = w.patience.now()
	}
	done := w.predicted.forget()
	defer done()
	var found written
	err := w.pool.inTxAfter(ctx, o, patience, func(b *pgx.Batch) {
		w.queueLocks(b, mode, &found.alone)
		found.commitState, found.replaced = queueCommitState(b, w.id, window), w.queueReplaced(b)
	}, func(t *transaction) error { return f(t, &found) })
	if mode == lockAlone {
		w.patience.note(err)
	}
	return err
}

// queueLocks makes a batch take the locks of a transaction that writes to the table, and
// set whether it has the table alone.
// The table itself comes first: LOCK takes no snapshot, and while somebody else has
// the table nothing of ours is held.
func (w *Writer) queueLocks(b *pgx.Batch, mode lockMode, alone *bool) {
	b.Queue("LOCK TABLE ONLY " + w.spec.quoted() + " IN ROW EXCLUSIVE MODE")
	*alone = mode == lockAlone
	switch mode {
	case lockShared:
		b.Queue("SELECT pg_advisory_xact_lock_shared($1, $2)", tableLock, w.id)
		return
	case lockFree:
		b.Queue(statement("lock-if-free"), tableLock, w.id).QueryRow(func(row pgx.Row) error { return row.Scan(alone) })
		return
	case lockAlone:
	}
	b.Queue("SELECT pg_advisory_xact_lock($1, $2)", tableLock, w.id)
	if w.patience.now() > lockPatience { // others wait for this transaction now
		b.Queue("SELECT set_config('lock_timeout', $1, true)", milliseconds(lockPatience))
	}
}

// lockOpening makes others that open the same table wait until this transaction ends.
// They hold up nobody, so they wait for longer than for the table itself.
func (g *tableSpec) lockOpening(ctx context.Context, tx pgx.Tx) error {
	name := fnv.New32a()
	_, _ = name.Write([]byte(g.schema + "\x00" + g.table))
	_, err := tx.Conn().PgConn().Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %s; "+
		"SELECT pg_advisory_xact_lock(%d, %d); SET LOCAL lock_timeout = %s",
		milliseconds(readPatience), openTableLock, int32(name.Sum32()), milliseconds(openPatience))).ReadAll()
	return err
}
