package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
)

// healing is a pipeline with two destinations in memory, which follows a chain that
// grows only when the test says so.
type healing struct {
	*testPipeline
	t       *testing.T
	chain   *modelChain
	stores  map[string]*memsink.Store
	procs   map[string]*proc
	corrupt atomic.Uint64            // sequence of an entry whose payload the sinks cannot read
	reads   atomic.Int64             // queries of partitions that Amp was asked
	written map[string]*atomic.Int64 // rows that were written to each destination
	undone  map[string]*atomic.Int64 // changes that take blocks back there
}

// healed is how long it may take from a trouble until everything is as it should be.
const healed = time.Minute

func newHealing(t *testing.T, others ...string) *healing {
	names := append([]string{"warehouse", "cache"}, others...)
	h := &healing{
		t: t, chain: newModelChain(rand.New(rand.NewPCG(7, 1))),
		stores: map[string]*memsink.Store{}, procs: map[string]*proc{}, written: map[string]*atomic.Int64{}, undone: map[string]*atomic.Int64{},
	}
	srv := amptest.Start(t, func(q amptest.Query) amptest.Answer {
		if q.Stream() {
			return h.chain.Answer(q)
		}
		if strings.Contains(q.SQL, "ORDER BY") {
			h.reads.Add(1)
		}
		return batch(h.chain.Chain, q.SQL)
	})
	h.testPipeline = &testPipeline{stageEnv: newStageEnv(t), size: 40, entry: 16 << 10, config: &config.Pipeline{
		Name:    "heal",
		Source:  config.Source{Amp: srv.URL(), Query: "SELECT * FROM model.rows"},
		Range:   config.Range{ReorgBuffer: 50},
		Log:     config.Log{MaxBytes: 256 << 20, Compression: "none", EntryBytes: 8 << 10, Replay: time.Hour},
		Extract: config.Extract{Workers: 2},
	}}
	for _, name := range names {
		written, undone := new(atomic.Int64), new(atomic.Int64)
		h.written[name], h.undone[name] = written, undone
		h.stores[name] = &memsink.Store{Faults: memsink.Faults{
			Row: func(memsink.Row) error { written.Add(1); return nil },
			Begin: func(_ context.Context, changes []sink.Change) error {
				for _, c := range changes {
					if c.Kind == entry.Invalidate || c.Kind == sink.Remove {
						undone.Add(1)
					}
				}
				return nil
			},
		}}
		h.config.Sinks = append(h.config.Sinks, config.Sink{Name: name})
	}
	t.Cleanup(func() {
		for _, p := range h.procs {
			stop(p)
		}
	})
	h.begin("planner", h.planner)
	h.begin("extractor", h.extractor)
	for name := range h.stores {
		h.begin(name, h.applies(name))
	}
	h.settle(2*healed, names...) // every case loads its history at the same time
	return h
}

func (h *healing) begin(name string, stage func(context.Context, *queue.Conn) error) {
	h.procs[name] = h.start(name, stage)
}

func (h *healing) applies(name string) func(context.Context, *queue.Conn) error {
	return h.sink(name, func() sink.Writer { return h.stores[name].Writer() }, func(s apply.Source) apply.Source { return corrupting{s, h} })
}

// corrupting is a log in which the payload of one entry is damaged.
type corrupting struct {
	apply.Source
	of *healing
}

func (c corrupting) Next(ctx context.Context) (*queue.Message, error) {
	m, err := c.Source.Next(ctx)
	if err == nil && m.Seq == c.of.corrupt.Load() {
		m.Payload = m.Payload[:len(m.Payload)/2]
	}
	return m, err
}

// grow makes blocks. Each is a message of the stream by itself.
func (h *healing) grow(blocks int) { h.chain.extend(h.chain.build(h.chain.head()+1, blocks)) }

// settle waits until destinations are at the head, and compares them.
func (h *healing) settle(within time.Duration, sinks ...string) {
	h.t.Helper()
	head := h.chain.Head()
	limit := time.Now().Add(within)
	for _, name := range sinks {
		for {
			l := h.stores[name].CommitState()
			// One that joined the live lane late has no watermark of it yet.
			if at := l.Live.Cursor; (at == head || at.Network == "") && l.Live.Started && l.Coverage.Covers(block.Closed(0, head.Number)) && h.equal(name) {
				break
			}
			if time.Now().After(limit) {
				h.t.Fatalf("%s is not at the head %v within %s, but at %+v with %v", name, head, within, l.Live, l.Coverage)
			}
			for part, p := range h.procs {
				select {
				case <-p.done:
					h.t.Fatalf("%s has ended: %v", part, p.err)
				default:
				}
			}
			<-time.After(20 * time.Millisecond)
		}
	}
}

// equal reports whether a destination holds the chain, every row once.
func (h *healing) equal(name string) bool {
	var got []modelRow
	for _, row := range h.stores[name].Rows() {
		note, ok := row.Values[3].(string)
		if !ok {
			note = "-"
		}
		got = append(got, modelRow{int64(row.Block), row.Values[1].(int64), fmt.Sprintf("%x", row.Values[2]), note})
	}
	slices.SortFunc(got, modelRow.compare)
	return slices.Equal(got, h.chain.rows())
}

// stream returns the log as an operator sees it.
func (h *healing) stream() (jetstream.JetStream, jetstream.Stream) {
	h.t.Helper()
	c, err := nats.Connect("nats://" + h.address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	js, err := jetstream.New(c)
	if err != nil {
		h.t.Fatal(err)
	}
	stream, err := js.Stream(h.t.Context(), "AMPIPE_LOG_heal")
	if err != nil {
		h.t.Fatal(err)
	}
	return js, stream
}

// log lists the sequences of the messages of lanes whose names begin so.
func (h *healing) log(lane string) (seqs []uint64) {
	h.t.Helper()
	_, stream := h.stream()
	info, err := stream.Info(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(h.t.Context(), seq)
		if err == nil && strings.HasPrefix(m.Subject, "ampipe.log.heal."+lane) {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

func (h *healing) delete(seqs ...uint64) {
	h.t.Helper()
	_, stream := h.stream()
	for _, seq := range seqs {
		if err := stream.DeleteMsg(h.t.Context(), seq); err != nil {
			h.t.Fatal(err)
		}
	}
}

// publish puts something foreign into a lane.
func (h *healing) publish(lane string) {
	h.t.Helper()
	js, _ := h.stream()
	if _, err := js.Publish(h.t.Context(), "ampipe.log.heal."+lane, []byte("hello")); err != nil {
		h.t.Fatal(err)
	}
}

// halt stops a sink, and resume starts it again.
func (h *healing) halt(name string) {
	stop(h.procs[name])
	delete(h.procs, name)
}
func (h *healing) resume(name string) { h.begin(name, h.applies(name)) }

func (h *healing) epoch(name string) uint64 { return h.stores[name].CommitState().Live.Epoch }

// renew has an epoch begin.
func (h *healing) renew() {
	h.t.Helper()
	before := h.epoch("warehouse")
	live := h.log("live")
	h.delete(live[len(live)-1])
	for limit := time.Now().Add(healed); h.epoch("warehouse") == before || h.epoch("cache") == before; <-time.After(20 * time.Millisecond) {
		if time.Now().After(limit) {
			h.t.Fatal("no epoch begins")
		}
	}
	h.grow(5)
	h.settle(healed, "warehouse", "cache")
}

// TestHealing breaks a pipeline in a way that somebody's users have seen, and allows it a
// minute. The chain stands still meanwhile: nothing new comes to the rescue. They mostly
// wait, and all do so at once.
func TestHealing(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	defer all.Wait()
	for name, trouble := range map[string]func(h *healing){
		"set back within an epoch": func(h *healing) {
			b := h.stores["cache"].Backup()
			h.grow(20)
			h.settle(healed, "warehouse", "cache")
			h.stores["cache"].Restore(b)
		},
		"set back to before an epoch": func(h *healing) {
			b := h.stores["cache"].Backup()
			h.grow(20)
			h.settle(healed, "warehouse", "cache") // else the entry that is deleted is not the last
			h.renew()
			h.stores["cache"].Restore(b)
		},
		"set back to before an epoch while the sink is away": func(h *healing) {
			b := h.stores["cache"].Backup()
			h.renew()
			h.halt("cache")
			h.stores["cache"].Restore(b)
			h.resume("cache")
		},
		"set back to nothing": func(h *healing) {
			h.grow(20)
			h.settle(healed, "warehouse", "cache")
			h.stores["cache"].Restore(memsink.Backup{})
		},
		"all set back to nothing": func(h *healing) {
			h.renew()
			h.stores["cache"].Restore(memsink.Backup{})
			h.stores["warehouse"].Restore(memsink.Backup{})
		},
		"an entry of the live lane is lost": func(h *healing) {
			h.halt("cache")
			before := len(h.log("live"))
			for range 5 {
				h.grow(4)
				h.settle(healed, "warehouse")
			}
			lost := h.log("live")[before:]
			h.delete(lost[1], lost[len(lost)/2+1])
			h.resume("cache")
		},
		"the first entries of the live lane are lost": func(h *healing) {
			h.halt("cache")
			h.grow(5)
			h.settle(healed, "warehouse")
			h.delete(h.log("live")...)
			h.resume("cache")
		},
		"entries of the history are lost": func(h *healing) {
			h.halt("cache")
			h.stores["cache"].Restore(memsink.Backup{})
			js, _ := h.stream()
			if err := js.DeleteConsumer(h.t.Context(), "AMPIPE_LOG_heal", "history-cache"); err != nil {
				h.t.Fatal(err)
			}
			lane := h.log("p.40.0")
			h.delete(append(h.log("p.120.0"), lane[len(lane)/2])...)
			h.resume("cache")
		},
		"an entry of the live lane is damaged": func(h *healing) {
			_, stream := h.stream()
			info, err := stream.Info(h.t.Context())
			if err != nil {
				h.t.Fatal(err)
			}
			h.corrupt.Store(info.State.LastSeq + 1) // rows come before their watermark
			h.grow(20)
		},
		"an entry of the history is damaged": func(h *healing) {
			h.halt("cache")
			h.stores["cache"].Restore(memsink.Backup{})
			js, _ := h.stream()
			if err := js.DeleteConsumer(h.t.Context(), "AMPIPE_LOG_heal", "history-cache"); err != nil {
				h.t.Fatal(err)
			}
			h.corrupt.Store(h.log("p.80.0")[0])
			h.resume("cache")
		},
		"somebody publishes to the lanes": func(h *healing) {
			h.publish("live")
			h.publish("p.0.0")
			h.publish("p.something")
			h.publish("else")
			h.grow(3)
		},
		"the log is deleted": func(h *healing) {
			h.halt("cache")
			h.grow(5)
			js, _ := h.stream()
			if err := js.DeleteStream(h.t.Context(), "AMPIPE_LOG_heal"); err != nil {
				h.t.Fatal(err)
			}
			h.resume("cache")
		},
		"the live lane is purged": func(h *healing) {
			h.halt("cache")
			h.grow(5)
			h.settle(healed, "warehouse")
			_, stream := h.stream()
			if err := stream.Purge(h.t.Context(), jetstream.WithPurgeSubject("ampipe.log.heal.live")); err != nil {
				h.t.Fatal(err)
			}
			h.resume("cache")
		},
	} {
		all.Go(func() {
			t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
				h := newHealing(t)
				trouble(h)
				began := time.Now()
				h.settle(healed, "warehouse", "cache")
				t.Logf("healed after %s", time.Since(began).Round(time.Millisecond))
				h.grow(3)
				h.settle(healed, "warehouse", "cache")
			})
		})
	}
}
