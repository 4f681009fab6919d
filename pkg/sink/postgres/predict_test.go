package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// lane is the live lane of a table, through a proxy that counts round trips.
type lane struct {
	*database
	cfg   config.Postgres
	w     *postgres.Writer
	proxy *counter
}

// liveBlock is block n with one row; the lane begins with block 0.
func liveBlock(n block.Number) sink.Change {
	c := live(rows(n, n+1), uint64(n)+1, uint64(n))
	c.Network, c.Hash, c.Complete = `it's a \ "net"`, block.Hash{byte(n)}, true
	return c
}

// newLane loads blocks 0 to 4. The next one is predicted.
func newLane(t *testing.T, create string, change func(*config.Postgres)) *lane {
	t.Helper()
	db := newDatabase(t)
	if create != "" {
		db.run(create)
	}
	proxy := newCounter(t, db.url)
	cfg := db.config()
	cfg.DSN = config.Secret(proxy.url)
	if change != nil {
		change(&cfg)
	}
	l := &lane{database: db, cfg: cfg, w: open(t, cfg, small), proxy: proxy}
	l.load(0, 5)
	return l
}

// load applies blocks, each by itself. The last one takes one round trip.
func (l *lane) load(from, to block.Number) {
	l.Helper()
	for n := from; n < to; n++ {
		got := l.proxy.trips(1, func() {
			if err := insist(context.Background(), l.w, liveBlock(n)); err != nil {
				l.Fatal(err)
			}
		})
		if n == to-1 && got != 1 {
			l.Errorf("block %d took %d round trips, want 1", n, got)
		}
	}
}

func byKey(cfg *config.Postgres) { cfg.Mode, cfg.Key = config.Upsert, []string{"block_num", "n"} }

// TestStateThatIsNotAsPredicted alters, before a block that is predicted, what the server is to
// compare. The block is loaded by the rules, once, and the next ones are predicted again.
func TestStateThatIsNotAsPredicted(t *testing.T) {
	t.Parallel()
	const divided = `CREATE TABLE t (block_num bigint, n bigint, "Name" text) PARTITION BY RANGE (block_num); CREATE TABLE t_1 PARTITION OF t DEFAULT`
	const own = "(SELECT id FROM ampipe.tables WHERE table_name = 't')"
	for _, c := range []struct {
		name, alter      string
		create           string
		change           func(*config.Postgres)
		applied          sink.Applied // of block 5
		number, coverage string       // after it
	}{
		{name: "nothing", alter: "SELECT 1", applied: sink.Applied{Rows: 1}, number: "6", coverage: "[0,6)"},
		{name: "nothing, by key", alter: "SELECT 1", change: byKey, applied: sink.Applied{Rows: 1}, number: "6", coverage: "[0,6)"},
		{name: "nothing, with partitions", create: divided, alter: "SELECT 1", applied: sink.Applied{Rows: 1}, number: "6", coverage: "[0,6)"},
		{name: "the end of what is covered", alter: "UPDATE ampipe.coverage SET blocks = '[0,6)'",
			applied: sink.Applied{Skipped: 1}, number: "5", coverage: "[0,6)"},
		{name: "the beginning of what is covered", alter: "UPDATE ampipe.coverage SET blocks = '[2,5)'",
			applied: sink.Applied{Rows: 1}, number: "6", coverage: "[2,6)"},
		{name: "nothing is covered", alter: "DELETE FROM ampipe.coverage", applied: sink.Applied{Rows: 1}, number: "6", coverage: "[5,6)"},
		{name: "more is covered", alter: "INSERT INTO ampipe.coverage (table_id, blocks) VALUES (" + own + ", '[10,12)')",
			applied: sink.Applied{Rows: 1}, number: "6", coverage: "[0,6) [10,12)"},
		{name: "a part of a block", alter: "INSERT INTO ampipe.coverage (table_id, blocks, parts, batch, parts_of) VALUES (" + own +
			`, '[50,51)', '[0,1)', E'a ''part'' \\ "of"', 2)`,
			applied: sink.Applied{Rows: 1}, number: "6", coverage: "[0,6) [50,51)"},
		{name: "the live state", alter: "UPDATE ampipe.tables SET live_seq = 6", applied: sink.Applied{Skipped: 1}, number: "5", coverage: "[0,5)"},
		{name: "the epoch", alter: "UPDATE ampipe.tables SET live_epoch = 7", applied: sink.Applied{Skipped: 1}, number: "5", coverage: "[0,5)"},
		{name: "the cursor", alter: "UPDATE ampipe.tables SET cursor_hash = decode(repeat('07', 32), 'hex')", applied: sink.Applied{Rows: 1}, number: "6", coverage: "[0,6)"},
		{name: "pruned blocks", alter: "UPDATE ampipe.tables SET pruned = 3", applied: sink.Applied{Rows: 1}, number: "6", coverage: "[0,6)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLane(t, c.create, c.change)
			l.run(c.alter)
			got, err := l.w.Apply(t.Context(), []sink.Change{liveBlock(5)})
			if err != nil || got != c.applied {
				t.Errorf("answered with %+v (%v), want %+v", got, err, c.applied)
			}
			if number := l.text("SELECT count(*) FROM t"); number != c.number {
				t.Errorf("%s rows, want %s", number, c.number)
			}
			wantCoverage(t, l.database, c.coverage)
			if c.applied.Rows > 0 {
				l.load(6, 20)
			}
		})
	}
}

// TestWhatFailsInAPredictedTransaction is told as in any other, and nothing is changed.
func TestWhatFailsInAPredictedTransaction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, alter string
		change      func(*config.Postgres)
		says        string
		mend        string
	}{
		{name: "a row that is held back", alter: "BEFORE INSERT ON %s FOR EACH ROW", says: "odd_", mend: "DROP TRIGGER %s ON t"},
		{name: "a row that is held back, by key", alter: "BEFORE INSERT ON %s FOR EACH ROW", change: byKey, says: "odd_", mend: "DROP TRIGGER %s ON t"},
		{name: "a row that is refused", alter: `ALTER TABLE t ADD CONSTRAINT low CHECK (block_num < 5)`, says: "row 0",
			mend: "ALTER TABLE t DROP CONSTRAINT low"},
		{name: "a row that is refused at the commit", alter: `ALTER TABLE t ADD UNIQUE ("Name") DEFERRABLE INITIALLY DEFERRED;
			INSERT INTO t VALUES (100, 0, 'b5')`, says: "23505", mend: "DELETE FROM t WHERE block_num = 100"},
		{name: "a column that is gone", alter: "ALTER TABLE t RENAME n TO m", says: "42703", mend: "ALTER TABLE t RENAME m TO n"},
		{name: "an unlogged table", alter: "ALTER TABLE t SET UNLOGGED", says: "unlogged", mend: "ALTER TABLE t SET LOGGED"},
		{name: "a state that is held back", alter: "CREATE RULE held AS ON UPDATE TO ampipe.tables DO INSTEAD NOTHING", says: "held",
			mend: "DROP RULE held ON ampipe.tables"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLane(t, "", c.change)
			mend := c.mend
			if strings.HasPrefix(c.alter, "BEFORE") {
				mend = fmt.Sprintf(c.mend, l.trigger("t", c.alter, "RETURN NULL;"))
			} else {
				l.run(c.alter)
			}
			before := l.text("SELECT concat_ws(' ', (SELECT count(*) FROM t), (SELECT max(live_seq) FROM ampipe.tables))")
			for range 4 { // in vain, with and without a prediction
				_, err := l.w.Apply(t.Context(), []sink.Change{liveBlock(5)})
				if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("answered with %v (%v), want %q", err, fault.Of(err), c.says)
				}
				if bad, ok := errors.AsType[*sink.BadRowError](err); c.says == "row 0" && (!ok || bad.Block != 5) {
					t.Errorf("names %+v", bad)
				}
			}
			if after := l.text("SELECT concat_ws(' ', (SELECT count(*) FROM t), (SELECT max(live_seq) FROM ampipe.tables))"); after != before {
				t.Errorf("rows and sequence were %s and are %s", before, after)
			}
			l.run(mend)
			l.load(5, 30)
			wantLoaded(t, l.database, 30)
		})
	}
}

// TestLiveBlocksBesideAnotherProcess: what another process writes at this moment is not waited
// for, and what it has written is found.
func TestLiveBlocksBesideAnotherProcess(t *testing.T) {
	t.Parallel()
	l := newLane(t, "", nil)
	other := connect(t, l.url)
	if _, err := other.Exec(t.Context(), fmt.Sprintf("BEGIN; SELECT pg_advisory_xact_lock_shared(%d, id) FROM ampipe.tables", 0x616d7069)); err != nil {
		t.Fatal(err)
	}
	for n := block.Number(5); n < 10; n++ {
		if err := insist(t.Context(), l.w, liveBlock(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	l.load(10, 20)
	wantLoaded(t, l.database, 20)

	second := open(t, l.cfg, small)
	for n := block.Number(20); n < 60; n++ { // in turns
		first, again := l.w, second
		if n%3 == 0 {
			first, again = second, l.w
		}
		if got, err := first.Apply(t.Context(), []sink.Change{liveBlock(n)}); err != nil || got != (sink.Applied{Rows: 1}) {
			t.Fatalf("block %d: %+v, %v", n, got, err)
		}
		if got, err := again.Apply(t.Context(), []sink.Change{liveBlock(n)}); err != nil || got != (sink.Applied{Skipped: 1}) {
			t.Fatalf("block %d once more: %+v, %v", n, got, err)
		}
	}
	var group sync.WaitGroup
	for _, w := range []*postgres.Writer{l.w, second, l.w, second} { // at the same time
		group.Go(func() {
			for n := block.Number(60); n < 120; n++ {
				if err := insist(context.Background(), w, liveBlock(n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	wantLoaded(t, l.database, 120)
}

// TestLiveBlocksBesideOwnHistory loads history while live blocks come.
func TestLiveBlocksBesideOwnHistory(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	proxy := newCounter(t, db.url)
	cfg := db.config()
	cfg.DSN = config.Secret(proxy.url)
	l := &lane{database: db, cfg: cfg, w: open(t, cfg, small), proxy: proxy}
	at := func(n block.Number) sink.Change {
		c := liveBlock(n)
		c.Seq, c.After = uint64(n-999), uint64(n-1000)
		return c
	}
	var group sync.WaitGroup
	for g := range block.Number(3) {
		group.Go(func() {
			for from := 100 * g; from < 100*g+100; from += 10 {
				if err := insist(context.Background(), l.w, rows(from, from+10)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := block.Number(1000); n < 1100; n++ {
		if err := insist(t.Context(), l.w, at(n)); err != nil {
			t.Fatal(err)
		}
	}
	group.Wait()
	if got := db.text("SELECT concat_ws(' ', count(*), count(DISTINCT block_num)) FROM t"); got != "400 400" {
		t.Errorf("rows and blocks are %s", got)
	}
	wantCoverage(t, db, "[0,300) [1000,1100)")
}

// TestPredictedRowsOfSeveralChunks: what is too long to be encoded at once takes one round trip,
// too.
func TestPredictedRowsOfSeveralChunks(t *testing.T) {
	t.Parallel()
	l := newLane(t, "", nil)
	c := live(rows(5, 20_005), 6, 5)
	c.Network, c.Hash, c.Complete = "n", block.Hash{5}, true
	got := l.proxy.trips(1, func() {
		if got, err := l.w.Apply(t.Context(), []sink.Change{c}); err != nil || got != (sink.Applied{Rows: 20_000}) {
			t.Errorf("answered with %+v, %v", got, err)
		}
	})
	if got != 1 {
		t.Errorf("%d round trips, want 1", got)
	}
	wantLoaded(t, l.database, 20_005)
}

// TestReorgAfterAPredictedTransaction takes blocks back that were just committed.
func TestReorgAfterAPredictedTransaction(t *testing.T) {
	t.Parallel()
	l := newLane(t, "", nil)
	l.load(5, 10)
	invalid := live(sink.Change{Header: entry.Header{Kind: entry.Invalidate, Range: block.Closed(7, 9)}}, 11, 10)
	invalid.Network, invalid.Prev = `it's a \ "net"`, block.Hash{6}
	if got, err := l.w.Apply(t.Context(), []sink.Change{invalid}); err != nil || got.Deleted != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	wantLoaded(t, l.database, 7)
	for n := block.Number(7); n < 20; n++ {
		c := liveBlock(n)
		c.Seq, c.After = uint64(n)+5, uint64(n)+4
		got := l.proxy.trips(1, func() {
			if got, err := l.w.Apply(t.Context(), []sink.Change{c}); err != nil || got != (sink.Applied{Rows: 1}) {
				t.Fatalf("block %d: %+v, %v", n, got, err)
			}
		})
		if n > 8 && got != 1 {
			t.Errorf("block %d took %d round trips, want 1", n, got)
		}
	}
	wantLoaded(t, l.database, 20)
}

// TestPredictedTransactionsThatAreCut cuts the connection after the first, the second, … piece of
// a block that is predicted.
func TestPredictedTransactionsThatAreCut(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*config.Postgres){nil, byKey} {
		db := newDatabase(t)
		proxy := newCutter(t, db.url)
		proxy.left.Store(1 << 40)
		cfg := db.config()
		cfg.DSN = config.Secret(proxy.url)
		if change != nil {
			change(&cfg)
		}
		w := open(t, cfg, small)
		n, lost := block.Number(0), 0
		for step := range int64(30) {
			for range 3 { // the last one is predicted
				if err := insist(t.Context(), w, liveBlock(n)); err != nil {
					t.Fatal(err)
				}
				n++
			}
			proxy.left.Store(step % 6)
			_, err := w.Apply(t.Context(), []sink.Change{liveBlock(n)})
			if err != nil && fault.Of(err) == fault.ClassPermanent {
				t.Fatalf("cut after %d pieces: %v", step%6, err)
			}
			if proxy.left.Load() < 0 {
				lost++
			}
			proxy.left.Store(1 << 40)
			if err := insist(t.Context(), w, liveBlock(n)); err != nil {
				t.Fatal(err)
			}
			n++
			wantLoaded(t, db, n)
		}
		if lost < 10 {
			t.Errorf("only %d calls were cut: the test is not what it says", lost)
		}
	}
}

// lateProxy is a proxy that can hold back what a client sends, and pass it on when that client
// has gone.
type lateProxy struct {
	hold     atomic.Bool
	held     chan struct{} // closed when something is held back
	release  chan struct{}
	answered chan string // what the server answered to it
}

func (h *lateProxy) through(client, upstream net.Conn) (forth, back func()) {
	var late atomic.Bool
	forth = func() {
		defer upstream.Close()
		defer client.Close()
		buf := make([]byte, 1<<20)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			if bytes.Contains(buf[:n], []byte("EXECUTE")) && h.hold.CompareAndSwap(true, false) {
				late.Store(true)
				client.Close()
				close(h.held)
				<-h.release
				_, _ = upstream.Write(buf[:n])
				answer := <-h.answered
				h.answered <- answer
				return
			}
			if _, err := upstream.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	back = func() {
		defer client.Close()
		buf, answer := make([]byte, 1<<20), ""
		for {
			n, err := upstream.Read(buf)
			if err != nil {
				return
			}
			if !late.Load() {
				_, _ = client.Write(buf[:n])
				continue
			}
			answer += string(buf[:n])
			if strings.Contains(answer, "Z\x00\x00\x00\x05") {
				h.answered <- answer
				return
			}
		}
	}
	return forth, back
}

// TestATransactionThatComesLate: the server gets a transaction when its client has given it up
// and made the change once more. It finds another state, and commits nothing.
func TestATransactionThatComesLate(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	h := &lateProxy{held: make(chan struct{}), release: make(chan struct{}), answered: make(chan string, 1)}
	cfg := db.config()
	cfg.DSN = config.Secret(relay(t, db.url, h.through))
	w := open(t, cfg, small)
	for n := range block.Number(5) {
		if err := insist(t.Context(), w, liveBlock(n)); err != nil {
			t.Fatal(err)
		}
	}
	h.hold.Store(true)
	if err := insist(t.Context(), w, liveBlock(5)); err != nil {
		t.Fatal(err)
	}
	<-h.held
	wantLoaded(t, db, 6)
	close(h.release)
	answer := <-h.answered
	h.answered <- answer
	const refusal = "ampipe: rolled back and made again, since another session has changed the state"
	if !strings.Contains(answer, refusal) || strings.Contains(answer, "COMMIT") {
		t.Errorf("the server answered %q, want %q", answer, refusal)
	}
	wantLoaded(t, db, 6)
}

// TestPredictedCommitWithoutAnAnswer: what is not known to be committed is found when the block
// comes again.
func TestPredictedCommitWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	var deafen atomic.Bool
	cfg := db.config()
	cfg.DSN = config.Secret(relay(t, db.url, func(client, upstream net.Conn) (forth, back func()) {
		return func() { pass(client, upstream, func([]byte) {}) }, func() {
			pass(upstream, client, func(piece []byte) {
				if bytes.Contains(piece, []byte("COPY 1\x00")) && deafen.CompareAndSwap(true, false) {
					client.Close()
				}
			})
		}
	}))
	w := open(t, cfg, small)
	unknown := 0
	for n := range block.Number(30) {
		armed := n > 4 && n%3 == 0
		deafen.Store(armed)
		got, err := w.Apply(t.Context(), []sink.Change{liveBlock(n)})
		switch {
		case !armed && err == nil:
		case armed && fault.Of(err) == fault.ClassLater:
			unknown++
			err = fault.Retry(t.Context(), fault.Backoff{Min: time.Millisecond}, func(ctx context.Context) (err error) {
				got, err = w.Apply(ctx, []sink.Change{liveBlock(n)})
				return err
			}, nil)
			fallthrough
		default: // nothing was answered, not even to BEGIN: then it was made again at once
			if err != nil || got != (sink.Applied{Skipped: 1}) {
				t.Fatalf("block %d: %+v, %v (%v)", n, got, err, fault.Of(err))
			}
		}
		wantLoaded(t, db, n+1)
	}
	if unknown == 0 {
		t.Error("the outcome was never unknown: the test is not what it says")
	}
}

// TestRowsThatAreNotCounted: where the server keeps no statistics, rows are counted by the client.
func TestRowsThatAreNotCounted(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.run("ALTER DATABASE " + db.Config().Database + " SET track_counts = off")
	w := open(t, db.config(), small)
	for n := range block.Number(20) {
		if got, err := w.Apply(t.Context(), []sink.Change{liveBlock(n)}); err != nil || got != (sink.Applied{Rows: 1}) {
			t.Fatalf("block %d: %+v, %v", n, got, err)
		}
	}
	wantLoaded(t, db, 20)
}

// TestPredictedRowsAreCounted: a trigger that an upsert may have inserts one more row than was
// sent, so that the rows are counted by the client.
func TestPredictedRowsAreCounted(t *testing.T) {
	t.Parallel()
	l := newLane(t, "", byKey)
	l.trigger("t", "BEFORE INSERT ON %s FOR EACH STATEMENT", `IF pg_trigger_depth() = 1 THEN
		INSERT INTO t (block_num, n) SELECT 1000 + count(*), 0 FROM t; END IF; RETURN NULL;`)
	before := l.proxy.answers.Load()
	if got, err := l.w.Apply(t.Context(), []sink.Change{liveBlock(5)}); err != nil || got != (sink.Applied{Rows: 1}) {
		t.Errorf("answered with %+v, %v", got, err)
	}
	if got := l.proxy.answers.Load() - before; got == 1 {
		t.Error("the row of the trigger was not noticed")
	}
	if got := l.text("SELECT string_agg(block_num::text, ' ' ORDER BY block_num) FROM t"); got != "0 1 2 3 4 5 1005" {
		t.Errorf("the table has blocks %s", got)
	}
}
