package pipeline_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/progress"
)

// asked is a recorded query as a user would have written it, and a server that
// answers it as recorded.
type asked struct {
	sql   string
	url   string
	first block.Number // the blocks that were asked for
	end   block.Number
	rows  int64 // in them
	key   []string
	live  bool
}

// recordedBatch matches a query that was wrapped for a range of blocks.
var recordedBatch = regexp.MustCompile(`(?s)^SELECT \* FROM \(\n(.*)\n\) WHERE _block_num >= (\d+) AND _block_num < (\d+) ORDER BY _block_num$`)

// ask serves a recording: of the blocks that were asked for the recorded bytes, of
// others the rows among them.
func ask(t *testing.T, r amptest.Recording) asked {
	t.Helper()
	messages, err := r.Decode()
	if err != nil || len(messages) == 0 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	q := asked{sql: r.SQL, live: r.Stream(), key: keyOf(messages)}
	if q.live {
		history := r.History(t)
		history.StepTo(1)
		srv := amptest.Start(t, func(q amptest.Query) amptest.Answer {
			if q.Stream() {
				return history.Answer(q)
			}
			return batch(history.Chain, q.SQL)
		})
		srv.ReplayHistory(r, history)
		q.url, q.end = srv.URL(), history.End().Number+1
		for _, n := range history.Rows() {
			q.rows += n
		}
		return q
	}
	wrapped := recordedBatch.FindStringSubmatch(r.SQL)
	if wrapped == nil {
		t.Fatalf("not a query of a range of blocks: %s", r.SQL)
	}
	first, _ := strconv.ParseUint(wrapped[2], 10, 63) // digits
	end, _ := strconv.ParseUint(wrapped[3], 10, 63)
	q.sql, q.first, q.end = wrapped[1], block.Number(first), block.Number(end)
	schema, ranges := messages[0].Record.Schema(), messages[0].Ranges
	for _, m := range r.Messages {
		q.rows += m.Rows
	}
	q.url = amptest.Start(t, func(asked amptest.Query) amptest.Answer {
		bounds, _ := wrappedRange(asked.SQL)
		if bounds == (block.Range{Start: q.first, End: q.end}) {
			return r.Answer()
		}
		return amptest.Batch(schema, ranges, rowsOf(t, messages, bounds)...)
	}).URL()
	return q
}

func rowsOf(t *testing.T, messages []amp.Message, r block.Range) []arrow.RecordBatch {
	var all []arrow.RecordBatch
	for _, m := range messages {
		err := amptest.EachBlock(m.Record, func(n block.Number, rows arrow.RecordBatch) error {
			if r.Has(n) {
				rows.Retain()
				all = append(all, rows)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	return all
}

// keyOf finds the block column and up to two columns of numbers or bytes that tell
// the rows apart; nil if there are none.
func keyOf(messages []amp.Message) []string {
	schema := messages[0].Record.Schema()
	var useful []int
	for i, f := range schema.Fields() {
		if f.Name != "_block_num" && (arrow.IsInteger(f.Type.ID()) || f.Type.ID() == arrow.FIXED_SIZE_BINARY) {
			useful = append(useful, i)
		}
	}
	at := schema.FieldIndices("_block_num")
	candidates := [][]int{at}
	for i, a := range useful {
		candidates = append(candidates, append(slices.Clone(at), a))
		for _, b := range useful[i+1:] {
			candidates = append(candidates, append(slices.Clone(at), a, b))
		}
	}
	slices.SortStableFunc(candidates, func(a, b []int) int { return len(a) - len(b) })
	for _, columns := range candidates {
		if len(columns) > 0 && tellsApart(messages, columns) {
			var names []string
			for _, c := range columns {
				names = append(names, schema.Field(c).Name)
			}
			return names
		}
	}
	return nil
}

func tellsApart(messages []amp.Message, columns []int) bool {
	seen := map[string]bool{}
	for _, m := range messages {
		for row := range int(m.Record.NumRows()) {
			key := ""
			for _, c := range columns {
				if m.Record.Column(c).IsNull(row) {
					return false
				}
				key += m.Record.Column(c).ValueStr(row) + " "
			}
			if seen[key] {
				return false
			}
			seen[key] = true
		}
	}
	return true
}

// documented are the reasons for which a destination refuses a query when it is
// checked, and the pages that say so.
var documented = map[string]string{
	"which Delta does not allow; rename it in the query": "Delta forbids space",
}

// TestRecordedQueries loads what users of Amp ask, as a real server answered it,
// into every destination: history from batches, the live chain from streams. The
// product's own verification finds every row equal and as many as were recorded. A
// destination that cannot hold a query says so when it is checked, for a reason that
// its page names.
func TestRecordedQueries(t *testing.T) {
	t.Parallel()
	dsn, redis := os.Getenv("AMPIPE_TEST_POSTGRES"), testRedis()
	if dsn == "" || redis == "" {
		t.Skip("AMPIPE_TEST_POSTGRES or AMPIPE_TEST_REDIS is not set: no destinations (scripts/test starts them)")
	}
	loaded := 0
	for _, r := range amptest.Recordings(t) {
		if path.Dir(r.Name) != "queries" {
			continue
		}
		loaded++
		t.Run(path.Base(r.Name), func(t *testing.T) {
			t.Parallel()
			loadRecorded(t, r, dsn, redis)
		})
	}
	if loaded == 0 {
		t.Fatal("no query was recorded")
	}
}

func loadRecorded(t *testing.T, r amptest.Recording, dsn, redis string) {
	q := ask(t, r)
	name := "recorded_" + strings.ToLower(rand.Text())
	dropSchema(t, dsn, name)
	dir := t.TempDir()
	sinks := map[string]string{
		"append": fmt.Sprintf("postgres: { dsn: %q, schema: %s, table: appended }", dsn, name),
		"stream": fmt.Sprintf("redis: { url: %q, table: %s_stream, structure: stream }", redis, name),
		"lake":   fmt.Sprintf("delta: { path: %q, max_commit_delay: 100ms }", filepath.Join(dir, "lake")),
	}
	if q.key != nil {
		key := strings.Join(q.key, `", "`)
		sinks["upsert"] = fmt.Sprintf(`postgres: { dsn: %q, schema: %s, table: upserted, mode: upsert, key: ["%s"] }`, dsn, name, key)
		sinks["hash"] = fmt.Sprintf(`redis: { url: %q, table: %s_hash, structure: hash, key: ["%s"] }`, redis, name, key)
		sinks["string"] = fmt.Sprintf(`redis: { url: %q, table: %s_string, structure: string, key: ["%s"] }`, redis, name, key)
	}
	parse := func(only ...string) []*config.Pipeline {
		var b strings.Builder
		fmt.Fprintf(&b, "pipeline: %s\nsource:\n  amp: %q\n  query: %q\nrange: { min_block: %d, max_block: %d, reorg_buffer: %d }\nnats: { embedded: %q }\nsinks:\n",
			strings.ReplaceAll(name, "_", "-"), q.url, q.sql, q.first, q.end, map[bool]int{true: 1 << 20}[q.live], filepath.Join(dir, "nats"))
		for _, s := range only {
			fmt.Fprintf(&b, "  - { name: %s, %s }\n", s, sinks[s])
		}
		pipelines, err := config.Parse("recorded.yaml", []byte(b.String()), func(string) string { return "" })
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		return pipelines
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var taken []string
	for _, s := range slices.Sorted(maps.Keys(sinks)) {
		err := pipeline.Check(ctx, parse(s)[0], pipeline.Options{Destinations: allDestinations()})
		if err == nil {
			taken = append(taken, s)
			continue
		}
		checkDocumented(t, s, err)
	}
	var log bytes.Buffer
	pipelines := parse(taken...)
	if err := pipeline.Run(ctx, pipelines, pipeline.Options{Destinations: allDestinations(), Out: &log}); err != nil {
		t.Fatalf("run: %v\n%s", err, log.String())
	}
	var out bytes.Buffer
	if err := pipeline.Verify(ctx, pipelines[0], pipeline.Options{Destinations: allDestinations(), Out: &out}); err != nil {
		t.Errorf("verify: %v", err)
	}
	for _, s := range taken {
		if want := fmt.Sprintf("%s: %s in ", s, progress.Counted(q.rows, "row")); !strings.Contains(out.String(), want) {
			t.Errorf("%d rows were recorded, verify of %s prints\n%s", q.rows, s, out.String())
		}
	}
	t.Logf("%d rows in %v", q.rows, taken)
}

// checkDocumented fails unless a refusal is one that the pages name.
func checkDocumented(t *testing.T, sink string, err error) {
	t.Helper()
	for reason, said := range documented {
		if !strings.Contains(err.Error(), reason) {
			continue
		}
		pages, _ := filepath.Glob("../../docs/*.md") // the pattern is right
		for _, page := range pages {
			if text, e := os.ReadFile(page); e == nil && strings.Contains(string(text), said) {
				t.Logf("%s refuses: %v", sink, err)
				return
			}
		}
		t.Errorf("%s refuses for a reason that no page names: %v", sink, err)
		return
	}
	t.Errorf("%s refuses: %v", sink, err)
}

// dropSchema drops a schema of the database when the test ends.
func dropSchema(t *testing.T, dsn, schema string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer func() { _ = c.Close(context.Background()) }() // its work is done
		if _, err := c.Exec(context.Background(), "DROP SCHEMA IF EXISTS "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
	})
	if _, err := c.Exec(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
}
