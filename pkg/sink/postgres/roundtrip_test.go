package postgres_test

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
)

// counter is a proxy in front of the server that counts how often the server has answered
// all that it was sent.
type counter struct {
	url     string
	answers atomic.Int64
}

func newCounter(t *testing.T, dsn string) *counter {
	t.Helper()
	c := new(counter)
	c.url = relay(t, dsn, func(client, upstream net.Conn) (forth, back func()) {
		return func() { pass(client, upstream, func([]byte) {}) }, func() {
			pass(upstream, client, func(piece []byte) {
				c.answers.Add(int64(bytes.Count(piece, []byte("Z\x00\x00\x00\x05")))) // ReadyForQuery
			})
		}
	})
	return c
}

// trips returns in how many round trips a call is done, or want if that takes so long, on a busy
// machine, that ampipe looks meanwhile, over another connection, whom it waits for.
func (c *counter) trips(want int64, call func()) int64 {
	before, began := c.answers.Load(), time.Now()
	call()
	if time.Since(began) >= time.Second {
		return want
	}
	return c.answers.Load() - before
}

// pass passes data on, and shows each piece to see.
func pass(from, to net.Conn, see func([]byte)) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		see(buf[:n])
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestRoundTrips holds how often a transaction waits for the server. The first of a connection
// prepares what it needs.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	triggers := func(db *database) { db.trigger("t", "AFTER INSERT ON %s FOR EACH STATEMENT", "RETURN NULL;") }
	// The locks and what is read come with BEGIN, and the last writes with COMMIT.
	const begin, copied, commit = 1, 1, 1
	const predicted = 1 // all of it
	for _, c := range []struct {
		name    string
		mode    config.Mode
		empty   bool
		history bool
		arm     func(*database)
		dsn     string
		want    int64
	}{
		{name: "a live block", want: predicted},
		{name: "a live block, by key", mode: config.Upsert, want: predicted},
		{name: "a live block without rows", empty: true, want: predicted},
		{name: "history, which confirms", history: true, want: begin + copied + 1 + commit},
		{name: "triggers, which are looked at before the commit", arm: triggers, want: begin + copied + 3 + commit},
		{name: "nothing prepared", dsn: "&default_query_exec_mode=exec", want: begin + copied + commit},
		{name: "the simple protocol", dsn: "&default_query_exec_mode=simple_protocol", want: begin + 1 + copied + commit},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			proxy := newCounter(t, db.url)
			cfg := db.config()
			cfg.DSN = config.Secret(proxy.url + c.dsn)
			if c.mode != "" {
				cfg.Mode, cfg.Key = c.mode, []string{"block_num", "n"}
			}
			w := open(t, cfg, small)
			if c.arm != nil {
				c.arm(db)
			}
			change := func(n block.Number) sink.Change {
				change := rows(n, n+1)
				if c.history {
					return change
				}
				if c.empty && n > 0 { // the lane begins with rows
					change = sink.Change{Header: entry.Header{Kind: entry.Watermark, Range: block.Closed(n, n)}}
				}
				change = live(change, uint64(n)+1, uint64(n))
				change.Network, change.Hash, change.Complete = "n", block.Hash{byte(n)}, change.Kind == entry.Data
				return change
			}
			for n := range block.Number(10) {
				got := proxy.trips(c.want, func() {
					if err := insist(t.Context(), w, change(n)); err != nil {
						t.Fatal(err)
					}
				})
				if n > 2 && got != c.want {
					t.Errorf("block %d took %d round trips, want %d", n, got, c.want)
				}
			}
		})
	}
}
