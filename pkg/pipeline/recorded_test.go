package pipeline_test

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// recorded is a stream that a real server sent, and the table that it led to.
type recorded struct{ amptest.Followed }

// name is fit for a table and a pipeline.
func (r recorded) name() string {
	return strings.NewReplacer("/", "_", "-", "_").Replace(r.Stream.Name)
}

func recordedStreams(t *testing.T) (all []recorded) {
	t.Helper()
	for _, f := range amptest.FollowedTables(t) {
		all = append(all, recorded{f})
	}
	return all
}

// replays is what the replays of recorded streams share.
type replays struct {
	*stageEnv
	schema string // of the database
	dsn    string
	db     *pgxpool.Pool
}

func newReplays(t *testing.T) *replays {
	t.Helper()
	e := newCommandEnv(t)
	db, err := pgxpool.New(t.Context(), e.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return &replays{stageEnv: newStageEnv(t), schema: e.schema, dsn: e.dsn, db: db}
}

// table returns the configuration of a table in the test's schema.
func (p *replays) table(name string) config.Postgres {
	return config.Postgres{DSN: config.Secret(p.dsn), Schema: p.schema, Table: name, Mode: config.Append, Writers: 1}
}

// wanted writes the recorded final table into the database, as one entry of
// history, by the writer whose values other tests hold against the recordings.
func (p *replays) wanted(t *testing.T, r recorded) (table string, rows int64) {
	t.Helper()
	messages, err := r.Final.Decode()
	if err != nil {
		t.Fatal(err)
	}
	var records []arrow.RecordBatch
	var blocks block.Range
	for _, m := range messages {
		if len(m.Ranges) > 0 {
			blocks = m.Ranges[0].Numbers
		}
		if m.Record != nil && m.Record.NumRows() > 0 {
			records, rows = append(records, m.Record), rows+m.Record.NumRows()
		}
	}
	if rows == 0 {
		t.Fatalf("%s has no rows", r.Final.Name)
	}
	schema := records[0].Schema()
	table = "want_" + r.name()
	w := postgres.New(p.table(table))
	err = w.Open(t.Context(), sink.Table{
		Pipeline: table, Sink: "want", Schema: schema, BlockColumn: schema.FieldIndices("_block_num")[0], Epoch: 1,
	})
	if err == nil {
		_, err = w.Apply(t.Context(), []sink.Change{{
			Header: entry.Header{Kind: entry.Data, Epoch: 1, Range: blocks}, Records: records, Seq: 1,
		}})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return table, rows
}

// number asks the database for one number.
func (p *replays) number(t testing.TB, query string) (n int64) {
	t.Helper()
	if err := p.db.QueryRow(context.Background(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// difference counts the rows that only one of two tables has, every column compared.
func (p *replays) difference(t testing.TB, a, b string) int64 {
	t.Helper()
	return p.number(t, fmt.Sprintf(`SELECT count(*) FROM (
		(TABLE %[1]s.%[2]s EXCEPT ALL TABLE %[1]s.%[3]s) UNION ALL (TABLE %[1]s.%[3]s EXCEPT ALL TABLE %[1]s.%[2]s)) AS d`, p.schema, a, b))
}

// opened is a writer that tells when it is open.
type opened struct {
	sink.Writer
	open chan struct{}
}

func (o *opened) Open(ctx context.Context, t sink.Table) error {
	err := o.Writer.Open(ctx, t)
	if err == nil {
		close(o.open)
	}
	return err
}

// replay runs a whole pipeline against a server that sends the recorded bytes, cut
// after some messages (negative: not at all), and answers what resumes the stream
// from the history that the recording tells. It fails unless the table becomes the
// one wanted.
func (p *replays) replay(t *testing.T, r recorded, history *amptest.History, name, want string, cut int) {
	t.Helper()
	history.StepTo(1)
	var stepping sync.Mutex // streams and probes idle at the same time
	begun := false
	history.OnIdle(func() {
		stepping.Lock()
		defer stepping.Unlock()
		if begun {
			history.Step()
		}
	})
	srv := amptest.Start(t, func(q amptest.Query) amptest.Answer {
		if !q.Stream() {
			return batch(history.Chain, q.SQL)
		}
		return history.Answer(q)
	})
	defer srv.Stop()
	var decide func(q amptest.Query) amptest.Fault
	decide = func(q amptest.Query) amptest.Fault {
		if !q.Stream() || q.Resume() != "" { // the planner's questions
			srv.Next(decide)
			return amptest.Pass()
		}
		stepping.Lock()
		defer stepping.Unlock()
		begun = true
		history.StepTo(history.StepOf(cut - 1))
		return amptest.CutAfter(cut).Of(r.Stream.Answer())
	}
	if cut < 0 {
		srv.ReplayHistory(r.Stream, history)
	} else {
		srv.Next(decide)
	}

	w := &testPipeline{stageEnv: p.stageEnv, size: 1000, config: &config.Pipeline{
		Name:    name,
		Source:  config.Source{Amp: srv.URL(), Query: r.Stream.SQL},
		Range:   config.Range{ReorgBuffer: 1 << 20},
		Log:     config.Log{MaxBytes: 64 << 20, Compression: "none", EntryBytes: 2 << 20},
		Extract: config.Extract{Workers: 1},
		Sinks:   []config.Sink{{Name: "table"}},
	}}
	writer := &opened{postgres.New(p.table(name)), make(chan struct{})}
	procs := []*proc{
		p.start("planner", w.planner),
		p.start("extractor", w.extractor),
		p.start("sink", w.sink("table", func() sink.Writer { return writer }, nil)),
	}
	defer stop(procs...)
	p.reach(t, writer, history.End(), procs)
	if n := p.difference(t, want, name); n != 0 {
		t.Errorf("cut after %d messages: %d rows differ", cut, n)
	}
}

// reach waits until the destination has applied the live lane up to a block.
func (p *replays) reach(t *testing.T, w *opened, end block.Cursor, procs []*proc) {
	t.Helper()
	limit := time.After(time.Minute)
	var last sink.State
	for {
		select {
		case <-w.open:
			s, err := w.State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			last = s
			if s.Live.Cursor == end {
				return
			}
		default:
		}
		select {
		case <-limit:
			t.Fatalf("not at %v after a minute, but at %+v", end, last)
		case <-time.After(30 * time.Millisecond):
		}
		for _, m := range procs {
			select {
			case <-m.done:
				t.Fatalf("the %s ended: %v", m.name, m.err)
			default:
			}
		}
	}
}

var wrapped = regexp.MustCompile(`q\."?\w+"? >= (\d+) AND q\."?\w+"? < (\d+)`)

// batch answers a batch query from a chain: the blocks that it asks for, or none.
func batch(chain *amptest.Chain, text string) amptest.Answer {
	r, bounded := wrappedRange(text)
	if !bounded {
		r = block.Range{End: block.Max + 1}
	}
	return chain.Batch(r)
}

// wrappedRange returns the range that ampipe asks a query for, which is empty when it
// asks only what there is; false if it asks for all.
func wrappedRange(text string) (r block.Range, bounded bool) {
	if strings.HasSuffix(text, "LIMIT 0") {
		return r, true
	}
	bounds := wrapped.FindStringSubmatch(text)
	if bounds == nil {
		return r, false
	}
	from, _ := strconv.ParseUint(bounds[1], 10, 63) // digits
	to, _ := strconv.ParseUint(bounds[2], 10, 63)
	return block.Range{Start: block.Number(from), End: block.Number(to)}, true
}

// TestRecordedStreams replays every recorded stream byte for byte through the whole
// pipeline: PostgreSQL holds the canonical table, in every value.
func TestRecordedStreams(t *testing.T) {
	t.Parallel()
	p := newReplays(t)
	for _, r := range recordedStreams(t) {
		t.Run(r.name(), func(t *testing.T) {
			want, rows := p.wanted(t, r)
			p.replay(t, r, r.Stream.History(t), r.name(), want, -1)
			t.Logf("%d rows", rows)
		})
	}
}

// TestRecordedStreamsCutEverywhere cuts recorded streams after each of their messages;
// the server answers what resumes them as the recorded one did. The streams of one folder
// are of one chain, each of another table: every cut is made in one of them, in turn. The
// tests of package amp cut each of them after each message.
func TestRecordedStreamsCutEverywhere(t *testing.T) {
	t.Parallel()
	const atOnce = 16 // most of the time a pipeline waits
	p := newReplays(t)
	all := recordedStreams(t)
	tables, before := map[string]int{}, map[string]int{} // of a folder
	for _, r := range all {
		tables[path.Dir(r.Stream.Name)]++
	}
	for _, r := range all {
		folder := path.Dir(r.Stream.Name)
		first, every := before[folder], tables[folder]
		before[folder]++
		t.Run(r.name(), func(t *testing.T) {
			want, _ := p.wanted(t, r)
			history := r.Stream.History(t)
			cuts := make(chan int)
			var workers sync.WaitGroup
			for range atOnce {
				workers.Go(func() {
					for cut := range cuts {
						t.Run(strconv.Itoa(cut), func(t *testing.T) {
							p.replay(t, r, history.Again(), fmt.Sprintf("%s_%d", r.name(), cut), want, cut)
						})
					}
				})
			}
			for cut := first; cut <= len(r.Stream.Messages); cut += every {
				cuts <- cut
			}
			close(cuts)
			workers.Wait()
		})
	}
}
