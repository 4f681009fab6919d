package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
)

// disturbance is something that goes wrong in a round of the model.
type disturbance struct {
	name   string
	weight int // how often it is picked, beside kills (6)
	times  int // at most, in a round
	cause  func(*model)
}

// allDisturbances are what a round picks from. The kills of procs come on top.
var allDisturbances = []disturbance{
	{"cut connections of destinations", 1, 100, (*model).cutDestinations},
	{"forget orphaned blocks", 1, 100, func(m *model) { m.chain.Forget() }},
	{"restart NATS", 1, 1, (*model).restart},
	{"delete the log", 1, 1, (*model).wipe},
	{"delete messages of the log", 1, 3, (*model).deleteMessages},
	{"delete the state", 1, 1, func(m *model) { m.deleteStream("KV_AMPIPE_STATE") }},
	{"delete the tasks", 1, 1, func(m *model) { m.deleteStream("AMPIPE_TASKS") }},
	{"set a destination back", 2, 3, (*model).setBack},
	{"freeze a process", 2, 5, (*model).freeze},
	{"refuse every query", 1, 2, (*model).refuseQueries},
	{"answer no query", 1, 2, (*model).holdQueries},
	{"send hostile bytes", 1, 2, (*model).sendHostileBytes},
	{"swallow rows in a trigger", 1, 2, (*model).swallowRows},
}

// disturbances picks the disturbances of a round: about half of all, each as often as its weight
// says.
func (m *model) disturbances() []*disturbance {
	var picked []*disturbance
	for _, e := range allDisturbances {
		if m.random.IntN(2) == 0 {
			continue
		}
		mine := e
		for range e.weight {
			picked = append(picked, &mine)
		}
	}
	return picked
}

// disturb causes a disturbance, and reports whether it may still happen in this round.
func (m *model) disturb(e *disturbance) bool {
	if e.times == 0 {
		return false
	}
	e.times--
	m.counts.note(e.name)
	log := m.logger("model")
	log.Info().Msg(e.name)
	e.cause(m)
	return true
}

func (m *model) cutDestinations() {
	for _, d := range m.destinations {
		if err := d.disturb(m.t.Context()); err != nil {
			m.t.Errorf("disturb %s: %v", d.name(), err)
		}
	}
}

func (m *model) restart() { m.restartNATS() }

// jetstream uses a connection of the test's own to what is stored in NATS.
func (m *model) jetstream(do func(context.Context, jetstream.JetStream) error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	nc, err := nats.Connect(m.nats.URL())
	if err == nil {
		defer nc.Close()
		var js jetstream.JetStream
		if js, err = jetstream.New(nc); err == nil {
			err = do(ctx, js)
		}
	}
	if err != nil {
		m.t.Errorf("damage what is in NATS: %v", err)
	}
}

// wipe deletes the log, as somebody who cleans up does.
func (m *model) wipe() { m.deleteStream("AMPIPE_LOG_" + m.config.Name) }

// deleteStream loses what NATS holds. Processes may end by that: the handles of some
// libraries do not survive it.
func (m *model) deleteStream(name string) {
	m.jetstream(func(ctx context.Context, js jetstream.JetStream) error {
		err := js.DeleteStream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil // nobody has made it yet, or made it anew
		}
		return err
	})
	m.expect("deleted", "stream not found", "bucket not found", queue.ErrNotFound.Error())
}

// deleteMessages loses single messages that NATS had acknowledged: a few of the last
// ones, in whichever lanes they are.
func (m *model) deleteMessages() {
	m.jetstream(func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, "AMPIPE_LOG_"+m.config.Name)
		if err != nil {
			return nil // it is deleted
		}
		state := stream.CachedInfo().State
		for range 1 + m.random.IntN(4) {
			span := min(state.Msgs, 60)
			if span == 0 {
				return nil
			}
			// One that is trimmed by now is lost as well.
			_ = stream.DeleteMsg(ctx, state.LastSeq-m.random.Uint64N(span))
		}
		return nil
	})
}

// setBack takes a destination back to one of its earlier moments, in whichever epoch
// that was. The processes that write to it are killed, as for the restoring of a
// backup; others of the pipeline go on.
func (m *model) setBack() {
	i := m.random.IntN(len(m.destinations))
	d := m.destinations[i]
	if len(m.backups[i]) == 0 {
		m.backUp()
		return
	}
	restore := m.backups[i][m.random.IntN(len(m.backups[i]))]
	var mine []*slot
	for _, s := range m.slots {
		if s.name == "sink "+d.name() {
			mine = append(mine, s)
			s.kill()
		}
	}
	for _, s := range mine {
		<-s.done
	}
	if err := restore(m.t.Context()); err != nil {
		m.t.Errorf("set %s back: %v", d.name(), err)
	}
	for _, s := range mine {
		s.proc = m.start(s.name, s.stage)
	}
}

// backUp takes a copy of every destination.
func (m *model) backUp() {
	for i, d := range m.destinations {
		restore, err := d.backup(m.t.Context())
		if err != nil {
			m.t.Errorf("back %s up: %v", d.name(), err)
			continue
		}
		m.backups[i] = append(m.backups[i], restore)
	}
}

// freeze holds everything that a process, or a writer, sends and hears for up to
// 15 s, as a stopped process does: its connections stand.
func (m *model) freeze() {
	held := []*proxy{m.slots[m.random.IntN(len(m.slots))].proxy}
	for _, d := range m.destinations {
		if proxies := d.proxies(); len(proxies) > 0 && m.random.IntN(2) == 0 {
			held = append(held, proxies[m.random.IntN(len(proxies))])
		}
	}
	for _, p := range held {
		p.freeze()
	}
	m.afterwards.Go(func() {
		m.pause(time.Duration(m.fate(15000)) * time.Millisecond)
		for _, p := range held {
			p.thaw()
		}
	})
}

// refuseQueries has the server answer every query with INTERNAL for up to 20 s.
func (m *model) refuseQueries() { m.outage(amptest.Refuse(codes.Internal, "something is broken")) }

// holdQueries has the server answer no query for up to 20 s.
func (m *model) holdQueries() {
	until := make(chan struct{})
	m.outage(amptest.Delay(until))
	m.afterwards.Go(func() {
		m.pause(20 * time.Second)
		close(until)
	})
}

// sendHostileBytes has the server answer every query with messages whose buffers lie
// outside of them, for up to 3 s. What was asked for meanwhile fails for good: the
// planners that are started at the end retry it.
func (m *model) sendHostileBytes() {
	answer := m.chain.Batch(block.Range{Start: 0, End: 50})
	for i := range answer.Parts {
		answer.Parts[i].Forge = func(header, body []byte) ([]byte, []byte) { return header, body[:len(body)/2] }
	}
	m.outageFor(amptest.Instead(answer), 3*time.Second)
	m.expect("outside the body", "the chain cannot be followed")
	m.retries = true
}

// swallowRows has a trigger keep some rows out of a table for a while. The sink has to
// stop, and must not cover anything.
func (m *model) swallowRows() {
	for _, d := range m.destinations {
		swallower, ok := d.(interface {
			swallow(context.Context) (stop func(context.Context) error, err error)
		})
		if !ok || m.random.IntN(2) == 0 {
			continue
		}
		stop, err := swallower.swallow(m.t.Context())
		if err != nil {
			continue // the table is not made yet, or is locked
		}
		m.expect("the server reported no error")
		m.afterwards.Go(func() {
			m.pause(time.Duration(m.fate(4000)) * time.Millisecond)
			if err := stop(m.t.Context()); err != nil {
				m.t.Errorf("drop the trigger of %s: %v", d.name(), err)
			}
		})
	}
}

// expect lets processes end by themselves with an error that contains one of the texts.
func (m *model) expect(texts ...string) { m.expected = append(m.expected, texts...) }

func (m *model) outage(fate amptest.Fault) { m.outageFor(fate, 20*time.Second) }

func (m *model) outageFor(fate amptest.Fault, longest time.Duration) {
	m.outages.Lock()
	defer m.outages.Unlock()
	m.outageFate, m.outageUntil = fate, time.Now().Add(time.Duration(m.random.Int64N(int64(longest))))
}

// troubled returns what becomes of a query because of an outage, if there is one.
func (m *model) troubled() (amptest.Fault, bool) {
	m.outages.Lock()
	defer m.outages.Unlock()
	return m.outageFate, !m.calm.Load() && time.Now().Before(m.outageUntil)
}

// pause waits, or until the round becomes calm.
func (m *model) pause(d time.Duration) {
	select {
	case <-m.calmed:
	case <-time.After(d):
	}
}

// dice are random choices that several goroutines make.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

func (d *dice) fate(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}

// disturbed is how often each disturbance has happened, by name.
type disturbed map[string]int

func (s disturbed) String() string {
	var parts []string
	for _, e := range allDisturbances {
		if n := s[e.name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d times", e.name, n))
		}
	}
	return strings.Join(parts, ", ")
}

// expectedEnd reports whether a disturbance explains the error that a process has ended
// with.
func (m *model) expectedEnd(err error) bool {
	return err != nil && slices.ContainsFunc(m.expected, func(text string) bool { return strings.Contains(err.Error(), text) })
}
