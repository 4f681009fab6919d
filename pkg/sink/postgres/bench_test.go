package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// logTypes keep the block number once more as a bigint.
var logTypes = map[string]string{"*": "bigint"}

// BenchmarkEncodeLogs binds, checks and encodes logs. It is to be 15 times as
// fast as the server takes them ([BenchmarkApply]), or more.
func BenchmarkEncodeLogs(b *testing.B) {
	c := sinktest.Logs(block.Range{Start: 0, End: 50}, 1000)
	cfg := config.Postgres{Schema: "public", Table: "t", Types: logTypes}
	var buf []byte
	size := int64(0)
	for b.Loop() {
		e, err := postgres.Encode(cfg, sinktest.LogTable, buf, c.Records...)
		if err != nil {
			b.Fatal(err)
		}
		if size, err = e.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
		buf = e.Buffer()
	}
	b.SetBytes(size)
	b.ReportMetric(float64(c.Rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(size)/float64(c.Rows), "B/row")
}

// BenchmarkApply loads fresh logs, and between two calls as many into a table of
// the same form by a COPY that was encoded before. "of-raw" is the median of the
// ratios of these pairs: 0.8 or more is wanted for append, 0.5 for upsert.
//
// A round is 30,000 rows: for half a million, run it with -benchtime 20x.
func BenchmarkApply(b *testing.B) {
	b.Run("append", func(b *testing.B) { benchApply(b, config.Append) })
	b.Run("upsert", func(b *testing.B) { benchApply(b, config.Upsert) })
}

func benchApply(b *testing.B, mode config.Mode) {
	db := newDatabase(b)
	cfg := db.config()
	cfg.Types, cfg.Key, cfg.Mode = logTypes, []string{"_block_num", "log_index"}, config.Upsert
	for _, table := range []string{"raw", "t"} {
		cfg.Table = table
		ddl, err := postgres.New(cfg).Describe(sinktest.LogTable)
		if err != nil {
			b.Fatal(err)
		}
		db.run(ddl)
	}
	cfg.Mode = mode
	if mode == config.Append {
		cfg.Key = nil
	}
	w := open(b, cfg, sinktest.LogTable)

	const blocks, perBlock = 30, 1000
	var raw, ours []time.Duration
	next := block.Number(0)
	for b.Loop() {
		b.StopTimer()
		var changes []sink.Change
		for range blocks / 10 { // entries of about 3 MB
			changes = append(changes, sinktest.Logs(block.Range{Start: next, End: next + 10}, perBlock))
			next += 10
		}
		encoded := encode(b, cfg, changes)
		start := time.Now()
		if _, err := db.PgConn().CopyFrom(context.Background(), bytes.NewReader(encoded), "COPY raw FROM STDIN (FORMAT binary)"); err != nil {
			b.Fatal(err)
		}
		raw = append(raw, time.Since(start))
		b.StartTimer()
		start = time.Now()
		if _, err := w.Apply(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(start))
	}
	ratios := make([]float64, len(raw))
	for i := range raw {
		ratios[i] = raw[i].Seconds() / ours[i].Seconds()
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "of-raw")
	b.ReportMetric(blocks*perBlock*float64(len(ours))/sum(ours).Seconds(), "rows/s")
	b.ReportMetric(blocks*perBlock*float64(len(raw))/sum(raw).Seconds(), "raw-rows/s")
}

// BenchmarkApplyLive applies one live block of 200 rows after the other.
func BenchmarkApplyLive(b *testing.B) {
	db := newDatabase(b)
	cfg := db.config()
	cfg.Types = logTypes
	w := open(b, cfg, sinktest.LogTable)
	n := block.Number(0)
	for b.Loop() {
		b.StopTimer()
		change := live(sinktest.Logs(block.Closed(n, n), 200), uint64(n)+1, uint64(n))
		change.Network, change.Hash, change.Complete = "n", block.Hash{byte(n)}, true
		n++
		b.StartTimer()
		if _, err := w.Apply(b.Context(), []sink.Change{change}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyLiveBesideHistory applies transactions of history, of 20,000 rows, by some
// writers, and live blocks of 200 rows meanwhile, and measures how long these take.
func BenchmarkApplyLiveBesideHistory(b *testing.B) {
	for _, writers := range []int{2, 4} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { benchBesideHistory(b, writers) })
	}
}

func benchBesideHistory(b *testing.B, writers int) {
	const blocks, perBlock, every = 20, 1000, 50 * time.Millisecond
	db := newDatabase(b)
	cfg := db.config()
	cfg.Types = logTypes
	w := open(b, cfg, sinktest.LogTable)
	changes := make(chan sink.Change, b.N)
	for n := range block.Number(b.N) {
		changes <- sinktest.Logs(block.Range{Start: n * blocks, End: (n + 1) * blocks}, perBlock)
	}
	close(changes)
	b.ResetTimer()
	var history sync.WaitGroup
	for range writers {
		history.Go(func() {
			for c := range changes {
				if err := insist(b.Context(), w, c); err != nil {
					b.Error(err)
				}
			}
		})
	}
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		history.Wait()
	}()
	var took []time.Duration
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := block.Number(10_000_000); ; n++ {
		select {
		case <-loaded:
			b.StopTimer()
			b.ReportMetric(float64(b.N)*blocks*perBlock/b.Elapsed().Seconds(), "rows/s")
			slices.Sort(took)
			for _, share := range []int{50, 90, 99} {
				if len(took) > 0 {
					b.ReportMetric(float64(took[len(took)*share/100].Microseconds())/1000, fmt.Sprintf("ms-live-%d%%", share))
				}
			}
			return
		case <-tick.C:
		}
		change := live(sinktest.Logs(block.Closed(n, n), 200), uint64(n)+1, uint64(n))
		change.Network, change.Hash, change.Complete = "n", block.Hash{byte(n)}, true
		began := time.Now()
		if _, err := w.Apply(b.Context(), []sink.Change{change}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
}

func sum(all []time.Duration) (s time.Duration) {
	for _, d := range all {
		s += d
	}
	return s
}

// encode returns the COPY of the rows of changes.
func encode(t testing.TB, cfg config.Postgres, changes []sink.Change) []byte {
	t.Helper()
	var out bytes.Buffer
	for i, c := range changes {
		e, err := postgres.Encode(cfg, sinktest.LogTable, nil, c.Records...)
		if err != nil {
			t.Fatal(err)
		}
		var one bytes.Buffer
		if _, err := e.WriteTo(&one); err != nil {
			t.Fatal(err)
		}
		rows := one.Bytes()
		if i > 0 {
			rows = rows[19:] // the header
		}
		out.Write(rows[:len(rows)-2])
	}
	out.WriteString("\xff\xff")
	return out.Bytes()
}
