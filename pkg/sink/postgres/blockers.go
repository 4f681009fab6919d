package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// A transaction of ampipe in which nothing has moved for stillLimit while another
	// waits for it is ended. Before version 14 the server does not say how far a COPY
	// has come, so that a slow one looks like one that is frozen.
	stillLimit    = 5 * time.Second
	stillLimitOld = 30 * time.Second
	showsProgress = 14 // the first version with pg_stat_progress_copy

	lookTime = 2 * time.Second // bounds one look at who holds a lock
)

// blocker is a session that holds a lock, or stands before ours in the queue for it.
type blocker struct {
	pid                  uint32
	application, address string
	does, waits          string // "" if that is not shown to this user
	since                time.Time
	ours                 bool   // it is a transaction of ampipe
	writes               bool   // and has a table's lock
	queued               bool   // it waits for a lock itself
	silent               bool   // the server waits for its client
	movement             string // changes whenever the transaction moves
	idle                 bool   // it is between two statements
	isEnded, mayNot      bool   // it was frozen, and was ended; or this user may not do that
}

// String returns who it is and what it does.
func (b blocker) String() string {
	if b.pid == 0 {
		return "a prepared transaction (see pg_prepared_xacts)"
	}
	var text strings.Builder
	if b.ours {
		text.WriteString("another transaction of ampipe, ")
	}
	fmt.Fprintf(&text, "process %d of the server", b.pid)
	if b.application != "" {
		fmt.Fprintf(&text, " for %q", b.application)
	}
	if b.address != "" {
		text.WriteString(" at " + b.address)
	}
	if b.does != "" {
		fmt.Fprintf(&text, ": %s since %s", b.does, b.since.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	text.WriteString(b.waits)
	switch {
	case b.isEnded:
		text.WriteString("; nothing moved in it, so it was ended")
	case b.mayNot:
		text.WriteString("; nothing moves in it, and this user may not end it")
	case b.writes && b.silent:
		text.WriteString("; it is ended if nothing moves in it")
	}
	return text.String()
}

// ofBlockers returns a statement about other sessions. progress says that the server shows
// how far a COPY has come.
func ofBlockers(name string, progress bool) string {
	if !progress {
		return statement(name, "{copied}", "", "{progress}", "")
	}
	return statement(name, "{copied}", ", p.bytes_processed", "{progress}", "LEFT JOIN pg_stat_progress_copy p ON p.pid = a.pid")
}

// blockers remembers which transactions stood still. It is safe for concurrent use.
type blockers struct {
	mu    sync.Mutex // held while the server is asked, which takes one connection
	still map[uint32]stillness
}

type stillness struct {
	movement    string
	since, seen time.Time
}

// frozen reports whether nothing has moved in a session for long enough.
func (b *blockers) frozen(s blocker, progress bool, now time.Time) bool {
	limit := stillLimit
	if !progress && !s.idle {
		limit = stillLimitOld
	}
	if !s.writes || !s.silent {
		delete(b.still, s.pid)
		return false
	}
	known, ok := b.still[s.pid]
	if !ok || known.movement != s.movement || now.Sub(known.seen) > limit {
		known = stillness{movement: s.movement, since: now}
	}
	known.seen = now
	if b.still == nil {
		b.still = make(map[uint32]stillness)
	}
	b.still[s.pid] = known
	return now.Sub(known.since) >= limit
}

// lookFor returns those that a session waits for, and ends those that are frozen:
// transactions of ampipe whose client says nothing more. That is safe at any time,
// since what they have not committed is rolled back and comes again.
func (s *sessions) lookFor(ctx context.Context, pid uint32) (found []blocker, err error) {
	s.blockers.mu.Lock()
	defer s.blockers.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	conn, err := s.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	major, _, _ := strings.Cut(conn.Conn().PgConn().ParameterStatus("server_version"), ".")
	version, err := strconv.Atoi(major)
	progress := err == nil && version >= showsProgress
	err = s.transact(ctx, conn, pgx.TxOptions{}, lookTime, nil, nil, func(tx *transaction) error {
		found, err = collect(ctx, tx, "read who holds the lock", func(b *blocker) []any {
			return []any{
				&b.pid, &b.application, &b.address, &b.does, &b.waits, &b.since,
				&b.ours, &b.writes, &b.queued, &b.silent, &b.idle, &b.movement,
			}
		}, ofBlockers("blockers", progress), pid, tableLock, openTableLock, openLock)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, b := range found {
		if !s.blockers.frozen(b, progress, time.Now()) {
			continue
		}
		err := s.transact(ctx, conn, pgx.TxOptions{}, lookTime, nil, nil, func(tx *transaction) error {
			_, err := tx.Exec(ctx, ofBlockers("end-blocker", progress), b.pid, b.movement)
			return err
		})
		found[i].isEnded, found[i].mayNot = err == nil, sqlState(err) == insufficientPrivilege
	}
	return found, nil
}
