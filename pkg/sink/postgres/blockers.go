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
	ours                 bool   // it is a transaction of ampipe that has a table's lock
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
	}
	return text.String()
}

// movement changes whenever a transaction moves. It has to be completed with what
// is known of a COPY.
const movement = "concat_ws(' ', a.backend_start, a.xact_start, a.state, a.query_start, a.state_change%s)"

// askBlockers and endBlocker return statements: one reads which sessions another
// waits for, and one ends a session if nothing has moved in it. Of their statements
// only the words at the beginning are read; the rest may hold what is nobody's
// business.
func askBlockers(progress bool) string {
	bytes, join := "", ""
	if progress {
		bytes, join = ", p.bytes_processed", "LEFT JOIN pg_stat_progress_copy p ON p.pid = b.pid"
	}
	return fmt.Sprintf(`SELECT b.pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), ''),
			coalesce(CASE WHEN a.state <> 'active' THEN a.state ELSE trim(substring(a.query FROM '^[A-Za-z ]{1,40}')) END, ''),
			CASE a.wait_event_type WHEN 'Lock' THEN ', which waits for a lock itself' WHEN 'Client' THEN ', which waits for its client' ELSE '' END,
			coalesce(CASE WHEN a.state <> 'active' THEN a.state_change ELSE a.query_start END, now()),
			l.pid IS NOT NULL, coalesce(a.wait_event = 'ClientRead', false), coalesce(a.state <> 'active', false), %s
		FROM unnest(pg_blocking_pids($1::integer)) AS b (pid)
		LEFT JOIN pg_stat_activity a ON a.pid = b.pid
		LEFT JOIN (SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = $2::bigint::oid AND objsubid = 2 AND granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) l ON l.pid = b.pid
		%s`, fmt.Sprintf(movement, bytes), join)
}

func endBlocker(progress bool) string {
	bytes, join := "", ""
	if progress {
		bytes, join = ", p.bytes_processed", "LEFT JOIN pg_stat_progress_copy p ON p.pid = a.pid"
	}
	return fmt.Sprintf(`SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a %s
		WHERE a.pid = $1::integer AND a.wait_event = 'ClientRead' AND %s = $2`, join, fmt.Sprintf(movement, bytes))
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
	if !s.ours || !s.silent {
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
	err = s.transact(ctx, conn, pgx.TxOptions{}, lookTime, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, askBlockers(progress), pid, tableLock) // its error is that of collecting
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (b blocker, err error) {
			return b, row.Scan(&b.pid, &b.application, &b.address, &b.does, &b.waits, &b.since, &b.ours, &b.silent, &b.idle, &b.movement)
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, b := range found {
		if !s.blockers.frozen(b, progress, time.Now()) {
			continue
		}
		err := s.transact(ctx, conn, pgx.TxOptions{}, lookTime, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, endBlocker(progress), b.pid, b.movement)
			return err
		})
		found[i].isEnded, found[i].mayNot = err == nil, sqlState(err) == insufficientPrivilege
	}
	return found, nil
}
