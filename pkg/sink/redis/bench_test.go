package redis_test

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// BenchmarkPack binds, checks and packs logs. It is to be much faster than the
// server takes them ([BenchmarkApply]).
func BenchmarkPack(b *testing.B) {
	c := sinktest.Logs(block.Range{Start: 0, End: 50}, 1000)
	w := redis.New(config.Redis{Table: "t", Structure: config.Hash, Key: "{table}:{_block_num}:{log_index}"})
	size := 0
	for b.Loop() {
		var err error
		if size, err = redis.PackRows(w, sinktest.LogTable, c.Records...); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(size))
	b.ReportMetric(float64(c.Rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(size)/float64(c.Rows), "B/row")
}

// BenchmarkApply loads fresh logs, and between two calls as many by plain
// commands that were encoded before, over one connection. "of-raw" is the median
// of the ratios of these pairs: 0.7 or more is wanted for hashes, 0.6 for
// strings. A round is 30,000 rows: for half a million, run it with
// -benchtime 20x.
func BenchmarkApply(b *testing.B) {
	for _, structure := range []config.Structure{config.Hash, config.String} {
		for _, perBlock := range []int{10, 300} {
			name := string(structure) + "/dense"
			if perBlock == 10 {
				name = string(structure) + "/sparse"
			}
			b.Run(name, func(b *testing.B) { benchApply(b, structure, perBlock) })
		}
	}
}

func benchApply(b *testing.B, structure config.Structure, perBlock int) {
	s := newServer(b)
	cfg := s.config(structure, "{table}:{_block_num}:{log_index}")
	raw := cfg
	raw.Key = "raw" + s.name + ":{_block_num}:{log_index}"
	table := sinktest.LogTable
	table.Pipeline = s.name
	w := open(b, cfg, table)
	o, err := driver.ParseURL(s.url)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := net.Dial(o.Network, o.Addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()

	const rows = 30_000
	blocks := rows / perBlock
	var plain, ours []time.Duration
	next := block.Number(0)
	var encoded []byte
	for b.Loop() {
		b.StopTimer()
		var changes []sink.Change
		encoded = encoded[:0]
		for range 10 {
			end := next + block.Number(blocks/10)
			c := sinktest.Logs(block.Range{Start: next, End: end}, perBlock)
			next = end
			if encoded, err = redis.Commands(raw, table, encoded, c.Records...); err != nil {
				b.Fatal(err)
			}
			changes = append(changes, c)
		}
		start := time.Now()
		send(b, conn, encoded, rows)
		plain = append(plain, time.Since(start))
		b.StartTimer()
		start = time.Now()
		if _, err := w.Apply(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(start))
	}
	ratios := make([]float64, len(plain))
	for i := range plain {
		ratios[i] = plain[i].Seconds() / ours[i].Seconds()
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "of-raw")
	b.ReportMetric(rows*float64(len(ours))/sum(ours).Seconds(), "rows/s")
	b.ReportMetric(rows*float64(len(plain))/sum(plain).Seconds(), "raw-rows/s")
}

// send writes commands and waits for an answer to each of them.
func send(b *testing.B, conn net.Conn, commands []byte, answers int) {
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, 64<<10)
		for answers > 0 {
			n, err := conn.Read(buf)
			if err != nil {
				done <- err
				return
			}
			answers -= bytes.Count(buf[:n], []byte("\n"))
		}
		done <- nil
	}()
	for len(commands) > 0 {
		n, err := conn.Write(commands[:min(len(commands), 128<<10)])
		if err != nil {
			b.Fatal(err)
		}
		commands = commands[n:]
	}
	if err := <-done; err != nil && err != io.EOF {
		b.Fatal(err)
	}
}

func sum(all []time.Duration) (s time.Duration) {
	for _, d := range all {
		s += d
	}
	return s
}

// BenchmarkCluster loads fresh logs in a Cluster, spread over all slots or in one of
// them, and takes a block back when all slots have rows.
func BenchmarkCluster(b *testing.B) {
	for name, key := range map[string]string{"spread": "{table}:{_block_num}:{log_index}", "one slot": "{{one}}{table}:{_block_num}:{log_index}"} {
		b.Run(name, func(b *testing.B) {
			s := newCluster(b)
			table := sinktest.LogTable
			table.Pipeline = s.name
			w := open(b, s.config(config.Hash, key), table)
			const perBlock, perCall = 100, 20_000
			next := block.Number(0)
			for b.Loop() {
				b.StopTimer()
				var changes []sink.Change
				for range perCall / 2000 {
					changes = append(changes, sinktest.Logs(block.Range{Start: next, End: next + 2000/perBlock}, perBlock))
					next += 2000 / perBlock
				}
				b.StartTimer()
				if _, err := w.Apply(b.Context(), changes); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(perCall*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			l := &live{seq: 1}
			apply(b, w, l.next(sinktest.Logs(block.Range{Start: next, End: next + 1}, perBlock)))
			start := time.Now()
			apply(b, w, l.undo(next, next))
			b.ReportMetric(time.Since(start).Seconds()*1e3, "ms/reorg")
		})
	}
}
