package apply_test

import (
	"context"
	"fmt"
	"github.com/ampipe/ampipe/pkg/queue"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/state"
)

var logSchema = arrow.NewSchema([]arrow.Field{
	{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64},
}, nil)

// encoded makes an entry of some rows per block. The text of a row is
// "<block>.<number>".
func encoded(t testing.TB, schema *arrow.Schema, r block.Range, perBlock int) entry.Entry {
	t.Helper()
	return encode(t, schema, entry.Header{Range: r, End: r.End}, 0, perBlock)
}

// encode makes an entry of the rows from..to of each block in the header's
// range.
func encode(t testing.TB, schema *arrow.Schema, h entry.Header, from, to int) entry.Entry {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for n := h.Range.Start; n < h.Range.End; n++ {
		for i := from; i < to; i++ {
			for c := range schema.NumFields() {
				if schema.Field(c).Name == "block_num" {
					b.Field(c).(*array.Uint64Builder).Append(uint64(n))
				} else if err := b.Field(c).AppendValueFromString(fmt.Sprintf("%d.%d", n, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	enc, err := entry.NewEncoder(schema, entry.S2, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	h.Epoch, h.Network = 1, "testnet"
	e, err := enc.Encode(h, []arrow.RecordBatch{rec})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// fakeLog is a source that delivers its messages in order, and again what comes
// back.
type fakeLog struct {
	fail  func() error         // before each delivery, if set
	onAck func(m *fakeMessage) // if set

	mu    sync.Mutex
	ready []*fakeMessage
	all   []*fakeMessage
	wake  chan struct{}
	limit int // of bytes, passed by less than one entry
	bytes int // given out and not answered, or released
	peak  int // highest bytes
}

type fakeMessage struct {
	queue.Message
	log                             *fakeLog
	delivered, acked, nacked, ended int
	out                             bool
	released                        bool
}

func newFakeLog(entries ...entry.Entry) *fakeLog {
	l := &fakeLog{wake: make(chan struct{}, 1), limit: 32 << 20}
	l.add(entries...)
	return l
}

// laneOf returns a lane of either kind.
func laneOf(live bool) string {
	if live {
		return queue.LiveLane
	}
	return "p.0.0"
}

// add appends entries of a partition.
func (l *fakeLog) add(entries ...entry.Entry) {
	for _, e := range entries {
		l.append(queue.Message{Entry: e})
	}
}

func (l *fakeLog) append(m queue.Message) *fakeMessage {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := &fakeMessage{Message: m, log: l}
	if one.Seq == 0 {
		one.Seq = uint64(len(l.all) + 1)
	}
	one.Reply = one
	l.all = append(l.all, one)
	l.ready = append(l.ready, one)
	l.signal()
	return one
}

func (l *fakeLog) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *fakeLog) Next(ctx context.Context) (*queue.Message, error) {
	if l.fail != nil {
		if err := l.fail(); err != nil {
			return nil, err
		}
	}
	for {
		l.mu.Lock()
		if len(l.ready) > 0 && l.bytes < l.limit && ctx.Err() == nil {
			m := l.ready[0]
			l.ready = l.ready[1:]
			m.delivered++
			m.out, m.released = true, false
			l.bytes += len(m.Payload)
			l.peak = max(l.peak, l.bytes)
			l.mu.Unlock()
			given := m.Message
			return &given, nil
		}
		l.mu.Unlock()
		select {
		case <-l.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Settled reports whether a message was acknowledged, or was never here.
func (l *fakeLog) Settled(_ context.Context, seq uint64) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(l.all, func(m *fakeMessage) bool { return m.Seq == seq && m.acked+m.ended == 0 }), nil
}

func (l *fakeLog) Bytes() int { return l.limit }

func (m *fakeMessage) answered() {
	if !m.out {
		panic(fmt.Sprintf("message %d is answered twice", m.Seq))
	}
	m.free()
	m.out = false
}

// Release is part of what a reply may be able to.
func (m *fakeMessage) Release() {
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	m.free()
}

// free makes room for others.
func (m *fakeMessage) free() {
	if !m.released {
		m.log.bytes -= len(m.Payload)
	}
	m.released = true
	m.log.signal()
}

func (m *fakeMessage) Ack() error {
	if m.log.onAck != nil {
		m.log.onAck(m)
	}
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	m.answered()
	m.acked++
	return nil
}

func (m *fakeMessage) Nak(delay time.Duration) error {
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	m.answered()
	m.nacked++
	time.AfterFunc(delay, func() {
		m.log.mu.Lock()
		defer m.log.mu.Unlock()
		m.log.ready = append(m.log.ready, m)
		m.log.signal()
	})
	return nil
}

func (m *fakeMessage) Term(string) error {
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	m.answered()
	m.ended++
	return nil
}

// acked returns the sequences of the messages that were acknowledged.
func (l *fakeLog) acked() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var seqs []uint64
	for _, m := range l.all {
		if m.acked > 0 {
			seqs = append(seqs, m.Seq)
		}
	}
	return seqs
}

// counts tells how often a message was delivered and acknowledged.
func (m *fakeMessage) counts() (delivered, acked int) {
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	return m.delivered, m.acked
}

// outstanding counts the messages that were given out and not answered.
func (l *fakeLog) outstanding() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, m := range l.all {
		if m.out {
			n++
		}
	}
	return n
}

// watch is an observer and a place for reports.
type watch struct {
	mu      sync.Mutex
	commits []apply.Commit
	pauses  []string
	resumes int
	reports []state.SinkReport
}

func (w *watch) OnApplied(c apply.Commit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commits = append(w.commits, c)
}

func (w *watch) OnPause(reason error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pauses = append(w.pauses, reason.Error())
}

// paused returns the reasons shown, in order.
func (w *watch) paused() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.pauses)
}

// resumed returns how often nothing was waited for any more.
func (w *watch) resumed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.resumes
}

func (w *watch) OnResume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resumes++
}

func (w *watch) PutReport(_ context.Context, r state.SinkReport) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.Coverage = r.Coverage.Clone()
	w.reports = append(w.reports, r)
	return nil
}

func (w *watch) sizes() []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var rows []uint64
	for _, c := range w.commits {
		rows = append(rows, c.Rows)
	}
	return rows
}

// steps returns what the commits have changed of the live lane, in order.
func (w *watch) steps() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, c := range w.commits {
		for _, s := range c.Live {
			all = append(all, map[bool]string{true: "undone ", false: "has "}[s.Undone]+s.Blocks.String())
		}
	}
	return all
}

// story is the sequence of states reported.
func (w *watch) story() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var states []string
	for _, r := range w.reports {
		states = append(states, string(r.State))
	}
	return slices.Compact(states)
}

// reported returns a copy of the reports, and forgets them.
func (w *watch) reported() []state.SinkReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	reports := w.reports
	w.reports = nil
	return reports
}
