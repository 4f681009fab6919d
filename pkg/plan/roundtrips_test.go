package plan_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
)

// meeting is a source that holds questions until so many are asked at once.
type meeting struct {
	source
	t       *testing.T
	rows    int64  // of a block
	tooMuch uint64 // blocks of a query; 0: none

	mu    sync.Mutex
	wants int
	meets chan struct{}
	open  int
	most  int
	asked []string
}

// expect holds the next questions until n are open.
func (m *meeting) expect(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wants, m.meets, m.open, m.most, m.asked = n, make(chan struct{}), 0, 0, nil
}

func (m *meeting) ask(ctx context.Context, question string) (answered func()) {
	m.mu.Lock()
	m.asked = append(m.asked, question)
	m.open++
	m.most = max(m.most, m.open)
	meets := m.meets
	if m.open == m.wants {
		close(meets)
		m.wants = 0 // they have met
	}
	m.mu.Unlock()
	select {
	case <-meets:
	case <-ctx.Done():
	case <-time.After(30 * time.Second):
		m.t.Errorf("%s is not asked beside others", question)
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.open--
	}
}

func (m *meeting) Info(ctx context.Context, query string) (*arrow.Schema, error) {
	defer m.ask(ctx, "columns of "+query)()
	return m.source.Info(ctx, query)
}

func (m *meeting) Head(ctx context.Context, query string) ([]amp.Range, error) {
	defer m.ask(ctx, "head")()
	return m.source.Head(ctx, query)
}

func (m *meeting) Fetch(ctx context.Context, query string) iter.Seq2[amp.Message, error] {
	return func(yield func(amp.Message, error) bool) {
		var r block.Range
		_, err := fmt.Sscanf(query[len("SELECT * FROM (SELECT * FROM a.logs\n) AS q WHERE "):], "q._block_num >= %d AND q._block_num < %d", &r.Start, &r.End)
		must(m.t, err)
		defer m.ask(ctx, r.String())()
		if m.tooMuch > 0 && r.Len() > m.tooMuch {
			yield(amp.Message{}, fmt.Errorf("sort: %w", amp.ErrTooMuch))
			return
		}
		n := m.rows * int64(r.Len())
		schema := arrow.NewSchema([]arrow.Field{{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64}}, nil)
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		defer b.Release()
		for range n {
			b.Field(0).(*array.Uint64Builder).Append(uint64(r.Start))
		}
		rec := b.NewRecordBatch()
		defer rec.Release()
		yield(amp.Message{Record: rec}, nil)
	}
}

func (m *meeting) check(want config.Range, query string, workers int) *plan.Checked {
	m.t.Helper()
	p := &config.Pipeline{
		Name: "test", Source: config.Source{Amp: "grpc://test", Query: query}, Range: want, Extract: config.Extract{Workers: workers},
	}
	c, err := plan.Check(m.t.Context(), m, p)
	must(m.t, err)
	return c
}

// TestTheHeadIsAskedForBesideTheColumns, and the columns of tables only for text that may be
// compared with binary ones.
func TestTheHeadIsAskedForBesideTheColumns(t *testing.T) {
	t.Parallel()
	end := block.Number(1000)
	for query, want := range map[string][]string{
		"SELECT * FROM a.logs": {"columns of SELECT * FROM a.logs", "head"},
		"SELECT * FROM a.logs WHERE text = '0x12'": {
			"columns of SELECT * FROM a.logs", "columns of SELECT * FROM a.logs WHERE text = '0x12'", "head",
		},
	} {
		m := &meeting{t: t, source: source{head: mainnet(0, 5000)}}
		m.expect(2)
		m.check(config.Range{MaxBlock: &end}, query, 1)
		slices.Sort(m.asked)
		if !slices.Equal(m.asked, want) {
			t.Errorf("asked for %q, want %q", m.asked, want)
		}
	}
}

// TestASampleIsTakenAtOnce by as many queries as there may be, of as few blocks as are enough.
func TestASampleIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	first := []string{"[0, 1)", "[250, 251)", "[500, 501)", "[750, 751)"}
	rest := []string{"[1, 8)", "[251, 258)", "[501, 508)", "[751, 758)"}
	all := []string{"[0, 8)", "[250, 258)", "[500, 508)", "[750, 758)"}
	for name, c := range map[string]struct {
		rows    int64
		tooMuch uint64
		workers int
		whole   bool // it is not asked whether it is enough
		asked   []string
		found   plan.Sample
	}{
		"enough":               {300, 0, 16, false, first, plan.Sample{Blocks: 4, Rows: 1200}},
		"one worker":           {300, 0, 1, false, first, plan.Sample{Blocks: 4, Rows: 1200}},
		"no rows":              {0, 0, 16, false, slices.Concat(first, rest), plan.Sample{Blocks: 32}},
		"too many rows to say": {3000, 0, 2, false, slices.Concat(first, rest), plan.Sample{Blocks: 32, Rows: 96_000}},
		"for a person":         {300, 0, 4, true, all, plan.Sample{Blocks: 32, Rows: 9600}},
		"too much": {
			2, 3, 4, true, slices.Concat(all, []string{
				"[0, 4)", "[250, 254)", "[500, 504)", "[750, 754)", "[0, 2)", "[250, 252)", "[500, 502)", "[750, 752)",
			}), plan.Sample{Blocks: 8, Rows: 16},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end := block.Number(1000)
			m := &meeting{t: t, source: source{head: mainnet(0, 5000)}, rows: c.rows, tooMuch: c.tooMuch}
			m.expect(2)
			checked := m.check(config.Range{MaxBlock: &end}, "SELECT * FROM a.logs", c.workers)
			m.expect(min(c.workers, 4))
			enough := func(s plan.Sample) bool { return s.Decides(1000, c.workers) }
			if c.whole {
				enough = nil
			}
			got, err := checked.TakeSample(t.Context(), m, block.Range{Start: 0, End: 1000}, enough)
			must(t, err)
			got.Bytes = 0
			if got != c.found {
				t.Errorf("found %+v, want %+v", got, c.found)
			}
			slices.Sort(m.asked)
			slices.Sort(c.asked)
			if !slices.Equal(m.asked, c.asked) || m.most > c.workers {
				t.Errorf("blocks %q are read, %d at once, want %q, at most %d", m.asked, m.most, c.asked, c.workers)
			}
		})
	}
}

// TestTheHashesOfTheOriginAreAskedForAtOnce and an error names the block.
func TestTheHashesOfTheOriginAreAskedForAtOnce(t *testing.T) {
	t.Parallel()
	m := &meeting{t: t, source: source{head: mainnet(0, 1000)}}
	m.expect(2)
	want := config.Range{ReorgBuffer: 200}
	checked := m.check(want, "SELECT * FROM a.logs", 1)
	probes := &probing{meeting: m}
	m.expect(4)
	_, err := checked.Origin(t.Context(), probes)
	must(t, err)
	if m.most != 4 {
		t.Errorf("%d are asked for at once, want 4", m.most)
	}
	m.source.refuse = errors.New("no")
	if _, err = checked.Origin(t.Context(), &m.source); err == nil {
		t.Error("an answer is missing and nobody says so")
	}
}

// probing holds probes, too.
type probing struct{ *meeting }

func (p *probing) Probe(ctx context.Context, query, network string, at block.Number) (block.Cursor, error) {
	defer p.ask(ctx, fmt.Sprint("hash before ", at))()
	return p.source.Probe(ctx, query, network, at)
}
