package extract_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/arrowguard/guardtest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// views is a table with a column of views, as any cast to text makes it.
var views = arrow.NewSchema([]arrow.Field{
	{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "text", Type: arrow.BinaryTypes.StringView},
}, nil)

// viewRow is one row; text does not fit into its view.
func viewRow(t testing.TB, n block.Number) arrow.RecordBatch {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, views)
	defer b.Release()
	b.Field(0).(*array.Uint64Builder).Append(uint64(n))
	b.Field(1).(*array.StringViewBuilder).Append("a text that is longer than twelve bytes")
	rec := b.NewRecordBatch()
	t.Cleanup(rec.Release)
	return rec
}

// hostile are messages that ended the process, again and again.
var hostile = []struct {
	name  string
	forge func(t testing.TB) func(header, body []byte) ([]byte, []byte)
	want  string
}{
	{"a compressed buffer of 2^45 bytes", func(t testing.TB) func(header, body []byte) ([]byte, []byte) {
		message := guardtest.Write(t, []arrow.RecordBatch{viewRow(t, 0)}, ipc.WithLZ4())[1]
		binary.LittleEndian.PutUint64(message.Body, 1<<45)
		return func([]byte, []byte) ([]byte, []byte) { return message.Metadata, message.Body }
	}, "its body is compressed"},
	{"a view into a buffer that does not exist", func(testing.TB) func(header, body []byte) ([]byte, []byte) {
		return func(header, body []byte) ([]byte, []byte) {
			body = bytes.Clone(body)
			view := bytes.Index(body, []byte("a te")) - 4 // its prefix comes after its length
			binary.LittleEndian.PutUint32(body[view+8:], 7)
			return header, body
		}
	}, "the view points into buffer 7 of 1"},
}

// TestHostileMessages: the partition fails with an error that says what the server has
// sent, and the others are done.
func TestHostileMessages(t *testing.T) {
	t.Parallel()
	for _, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			forge := h.forge(t)
			srv := amptest.Start(t, func(q amptest.Query) amptest.Answer {
				m := bounds.FindStringSubmatch(q.SQL)
				start := number(m[1])
				head := []amp.Range{{Network: "test", Numbers: block.Range{End: 100}}}
				rows := []arrow.RecordBatch{viewRow(t, start)}
				if start+1 < number(m[2]) { // a worker may have given the rest away
					rows = append(rows, viewRow(t, start+1))
				}
				answer := amptest.Batch(views, head, rows...)
				if start == 10 {
					answer.Parts[len(rows)-1].Forge = forge
				}
				return answer
			})
			b := setup(t, newChain(t, 0, someRows))
			b.x.Source, b.x.Schema = ampClient(t, srv), views
			b.add(block.Range{Start: 0, End: 10}, block.Range{Start: 10, End: 20}, block.Range{Start: 20, End: 30})
			for _, p := range b.run(block.Range{Start: 0, End: 30}) {
				switch {
				case p.Start != 10 && p.State != state.PartitionDone:
					t.Errorf("partition %+v, want it done", p)
				case p.Start == 10 && (p.State != state.PartitionFailed || !strings.Contains(p.Error, h.want)):
					t.Errorf("partition %+v, want it failed because of %q", p, h.want)
				}
			}
		})
	}
}

// TestHostileStreams is [TestHostileMessages] for the live lane.
func TestHostileStreams(t *testing.T) {
	t.Parallel()
	for _, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			first := amp.Range{Network: "test", Numbers: block.Closed(0, 0), Hash: block.Hash{1}, HasPrev: true}
			second := amp.Range{Network: "test", Numbers: block.Closed(1, 1), Hash: block.Hash{2}, Prev: block.Hash{1}, HasPrev: true}
			parts := append(amptest.Microbatch(first, viewRow(t, 0)), amptest.Microbatch(second, viewRow(t, 1))...)
			parts[4].Forge = h.forge(t)
			srv := amptest.Start(t, func(amptest.Query) amptest.Answer {
				return amptest.Answer{Schema: views, Parts: parts, Hold: true}
			})
			st := newLiveEnv(t, nil, "test", newScriptedChain(t, 0, 0, someRows), 0, nil)
			p := st.process()
			p.x.Source, p.x.Schema = ampClient(t, srv), views
			p.start()
			defer p.end()
			l := st.position(func(l state.LivePosition) bool { return l.Phase == state.LiveFailed })
			if !strings.Contains(l.Error, h.want) || l.Next != 1 {
				t.Errorf("the live lane is at %+v, want it failed at block 1 because of %q", l, h.want)
			}
		})
	}
}

func ampClient(t *testing.T, srv *amptest.Server) *amp.Client {
	t.Helper()
	client, err := amp.Open(t.Context(), amp.Config{URL: srv.URL()})
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// panicking is a source that panics from a block on, as a library does that meets
// something it did not think of.
type panicking struct {
	*chain
	end block.Number // of the range that panics
}

func (p panicking) Fetch(ctx context.Context, query string) iter.Seq2[amp.Message, error] {
	return func(yield func(amp.Message, error) bool) {
		messages := 0
		for m, err := range p.chain.Fetch(ctx, query) {
			messages++
			if messages == 3 && number(bounds.FindStringSubmatch(query)[2]) == p.end {
				var none []int
				_ = none[messages]
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

func (p panicking) Follow(context.Context, string, amp.FollowOptions) iter.Seq2[amp.Event, error] {
	return func(func(amp.Event, error) bool) { panic("nobody has thought of this") }
}

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// mustHave fails unless one line at error level has all of these.
func (l *lines) mustHave(t *testing.T, all ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		found := strings.Contains(line, `"level":"error"`)
		for _, text := range all {
			found = found && strings.Contains(line, text)
		}
		if found {
			return
		}
	}
	t.Errorf("no line of the log has %q:\n%s", all, l.text.String())
}

// TestPanicFailsThePartition: only that one, and what arrived before is in the log.
func TestPanicFailsThePartition(t *testing.T) {
	t.Parallel()
	c := newChain(t, 100, func(block.Number) int { return 1 })
	b := setup(t, c)
	var log lines
	b.x.Logger = zerolog.New(&log)
	c.mem = memory.DefaultAllocator // what it panics with in hand is left to the collector
	b.x.Source = panicking{c, 60}
	b.add(block.Range{Start: 0, End: 30}, block.Range{Start: 30, End: 60}, block.Range{Start: 60, End: 100})
	for _, p := range b.run(block.Range{Start: 0, End: 100}) {
		switch {
		case p.End != 60 && p.State != state.PartitionDone:
			t.Errorf("partition %+v, want it done", p)
		case p.End == 60 && (p.State != state.PartitionFailed || !strings.Contains(p.Error, "ampipe has a bug: panic: runtime error: index out of range")):
			t.Errorf("partition %+v, want it failed", p)
		}
	}
	log.mustHave(t, "partition failed", "index out of range", `"stack":"goroutine`, "hostile_test.go")
}

func TestPanicFailsTheLiveLane(t *testing.T) {
	t.Parallel()
	st := newLiveEnv(t, nil, "test", newScriptedChain(t, 0, 10, someRows), 5, nil)
	p := st.process()
	var log lines
	p.x.Logger = zerolog.New(&log)
	p.x.Source = panicking{chain: newChain(t, 10, someRows)}
	p.start()
	l := st.position(func(l state.LivePosition) bool { return l.Phase == state.LiveFailed })
	p.end()
	if !strings.Contains(l.Error, "ampipe has a bug: panic: nobody has thought of this") {
		t.Errorf("the live lane is at %+v", l)
	}
	log.mustHave(t, "the live lane failed", `"stack":"goroutine`, "hostile_test.go")
}

// TestPanicOfASplitFailsThePartition: tails are given away in a goroutine of its own.
func TestPanicOfASplitFailsThePartition(t *testing.T) {
	t.Parallel()
	c := newChain(t, 400, func(block.Number) int { return 2 })
	b := setup(t, c)
	c.during = func(block.Range, int) error {
		time.Sleep(20 * time.Millisecond) // a slow server
		return nil
	}
	var log lines
	b.x.Logger = zerolog.New(&log).Hook(zerolog.HookFunc(func(_ *zerolog.Event, _ zerolog.Level, message string) {
		if message == "tail given away" {
			panic("nobody has thought of this")
		}
	}))
	b.add(block.Range{Start: 0, End: 400})
	failed := 0
	for _, p := range b.run(block.Range{Start: 0, End: 400}) {
		if p.State == state.PartitionFailed && strings.Contains(p.Error, "nobody has thought of this") {
			failed++
		}
	}
	if failed == 0 {
		t.Error("no partition failed")
	}
	log.mustHave(t, "partition failed", `"stack":"goroutine`, "split.go")
}
