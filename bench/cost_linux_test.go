package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/klauspost/compress/s2"
	"golang.org/x/sys/unix"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestCostOfARow fails when a part of a row's way that is ours costs a quarter more than it
// did. What it costs is the CPU time of one thread, measured in turns with a loop that does
// not change, and the memory that it allocates: neither depends on what else the machine
// does. The limits are what was measured, and a quarter. After a part has become cheaper,
// or there is a reason for its being dearer, change them.
func TestCostOfARow(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures for a few seconds")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pools

	logs := sinktest.Logs(block.Range{Start: 0, End: 100}, 200)
	buffers := entry.NewBuffers(1)
	packed, plain := cutLogs(t, logs, entry.S2, buffers), cutLogs(t, logs, entry.None, buffers)
	scratch := make([]byte, s2.MaxEncodedLen(4<<20))
	calibration := func() {
		for _, e := range plain {
			s2.EncodeSnappy(scratch, e.Payload)
		}
	}
	for _, c := range []struct {
		part      string
		do        func()
		cost      float64 // CPU time, as a part of the calibration's
		allocated float64 // bytes a row
	}{
		{"cutting, encoding and compressing", func() { cutLogs(t, logs, entry.S2, buffers) }, 1.65, 238},
		{"decompressing, checking and decoding", func() { decodeLogs(t, packed) }, 0.82, 332},
		{"encoding COPY", copyLogs(t, logs), 1.06, 1},
	} {
		// The least of many rounds: others on the machine can only add to a round.
		ours, base, allocated := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64), uint64(math.MaxUint64)
		for range 30 {
			began := allocations()
			ours = min(ours, threadTime(t, c.do))
			allocated = min(allocated, allocations()-began)
			base = min(base, threadTime(t, calibration))
			runtime.GC()
		}
		cost, bytes := ours.Seconds()/base.Seconds(), float64(allocated)/float64(logs.Rows)
		t.Logf("%s: %.2f of compressing alone, %.0f bytes a row", c.part, cost, bytes)
		if cost > 1.25*c.cost {
			t.Errorf("%s costs %.2f times what compressing alone does, and may cost %.2f", c.part, cost, 1.25*c.cost)
		}
		if bytes > 1.25*c.allocated {
			t.Errorf("%s allocates %.0f bytes a row, and may allocate %.0f", c.part, bytes, 1.25*c.allocated)
		}
	}
}

func threadTime(t *testing.T, do func()) time.Duration {
	t.Helper()
	now := func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
			t.Fatal(err)
		}
		return time.Duration(ts.Nano())
	}
	began := now()
	do()
	return now() - began
}

func allocations() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// cutLogs does what an extractor does with rows.
func cutLogs(t *testing.T, logs sink.Change, codec entry.Codec, buffers *entry.Buffers) []entry.Entry {
	t.Helper()
	encoder, err := entry.NewEncoder(sinktest.LogSchema, codec, queue.EmbeddedPayload)
	if err != nil {
		t.Fatal(err)
	}
	encoder.Share(buffers)
	cutter, err := entry.NewCutter(entry.CutOptions{
		Range: logs.Range, Column: sinktest.LogTable.BlockColumn, Header: entry.Header{Epoch: 1}, Encoder: encoder,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer cutter.Release()
	var entries []entry.Entry
	keep := func(groups []entry.Group, err error) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, slices.Concat(groups...)...)
	}
	for _, rec := range logs.Records {
		keep(cutter.Push(rec))
	}
	keep(cutter.Finish())
	return entries
}

// decodeLogs does what a sink does with entries.
func decodeLogs(t *testing.T, entries []entry.Entry) {
	t.Helper()
	decoder := entry.NewDecoder(nil)
	for _, e := range entries {
		_, records, err := decoder.Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			rec.Release()
		}
	}
}

// copyLogs returns what binds, checks and encodes rows for PostgreSQL.
func copyLogs(t *testing.T, logs sink.Change) func() {
	t.Helper()
	buf := make([]byte, 0, 2*pgcopy.Chunk)
	bind := func(rec arrow.RecordBatch) *pgcopy.Rows {
		rows := &pgcopy.Rows{To: int(rec.NumRows())}
		for i, f := range rec.Schema().Fields() {
			encoding, ok := pgcopy.Override(f.Type, pgcopy.AsBigint)
			if !ok {
				var err error
				if encoding, err = pgcopy.Default(f.Type); err != nil {
					t.Fatal(err)
				}
			}
			values := encoding.Bind(rec.Column(i))
			if row, why := values.Invalid(0, rows.To); row >= 0 {
				t.Fatal(f.Name, row, why)
			}
			rows.Values = append(rows.Values, values)
		}
		return rows
	}
	return func() {
		for _, rec := range logs.Records {
			rows := bind(rec)
			for row := 0; row < rows.To; {
				buf, row = rows.Encode(buf[:0], row, pgcopy.Chunk)
			}
		}
	}
}
