package extract_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// eventful is a script with everything in it.
func eventful() []step {
	return []step{
		{grow: 4, messages: 2}, grow(1), {grow: 3, messages: 3, cut: true}, reorg(16, 1), grow(2),
		{grow: 4, messages: 2, open: true}, reorg(20, 2), reorg(7, 1), {grow: 6, messages: 3}, reorg(27, 0), grow(1),
	}
}

// kill makes a process die right after its n-th entry: it answers nothing any more,
// and nothing that it had in hand is kept.
func (p *process) kill(n int) (dead chan struct{}) {
	dead = make(chan struct{})
	p.x.Grace = time.Millisecond
	p.onLive = func(published int) {
		if published == n {
			p.conn.Close()
			p.stop()
			close(dead)
		}
	}
	return dead
}

// TestTakeOverAfterEveryEntry kills the holder of the lane after each entry of a
// script in turn. Whoever continues leaves the destination with the chain, at every
// watermark.
func TestTakeOverAfterEveryEntry(t *testing.T) {
	t.Parallel()
	server := serve(t)
	rows := func(n block.Number) int { return int(n % 4) }
	undisturbed := newLiveEnv(t, server, "undisturbed", newScriptedChain(t, 0, 10, rows, eventful()...), 10, nil)
	total := len(undisturbed.runScript().entries)
	undisturbed.settled()
	if total < 19 {
		t.Fatalf("the script gives only %d entries", total)
	}
	for n := 1; n <= total; n++ {
		st := newLiveEnv(t, server, fmt.Sprint("killed", n), newScriptedChain(t, 0, 10, rows, eventful()...), 10, nil)
		victim := st.process()
		dead := victim.kill(n)
		victim.start()
		victim.until(dead)
		must(t, <-victim.ended)
		before := victim.published()
		st.queue()
		heir := st.runScript()
		st.settled()
		if t.Failed() {
			t.Fatalf("killed after entry %d of\n%q; then came\n%q", n, before, heir.published())
		}
		closed := victim.entries[len(before)-1].Kind != entry.Data
		if next := heir.published(); closed && len(next) > 0 && next[0] == before[len(before)-1] && victim.entries[len(before)-1].Kind == entry.Invalidate {
			t.Errorf("killed after %s, which nothing followed; it came again", next[0])
		}
		st.mayResume()
	}
}

// mayResume fails unless every follower was given cursors that ascend, the last of
// them where the lane was complete, and that all were of one chain.
func (s *liveEnv) mayResume() {
	s.t.Helper()
	for i, o := range s.chain.options() {
		for k, c := range o.Resume {
			if k == 0 {
				continue
			}
			if before := o.Resume[k-1]; c.Number <= before.Number || !s.chain.descends(c, before) {
				s.t.Fatalf("follower %d resumed with %v, and %v is not below %v in its chain", i, o.Resume, before, c)
			}
		}
	}
}

// descends reports whether a block has another among those below it.
func (s *scriptedChain) descends(c, from block.Cursor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c.Number > from.Number && !c.Hash.IsZero() {
		c = s.parents[c.Hash]
	}
	return c == from
}

// TestTakeOverAgainAndAgain kills each holder after a few entries, while the chain
// continues and is reorganised at random.
func TestTakeOverAgainAndAgain(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := newScriptedChain(t, 0, 300, func(n block.Number) int { return int(n*7%5) * int(n%2) })
	head := s.head()
	for range 120 {
		next := step{grow: 1 + rnd.Uint64N(4), messages: 1 + rnd.IntN(3), cut: rnd.IntN(6) == 0, open: rnd.IntN(8) == 0}
		if rnd.IntN(4) == 0 {
			from := head - min(head-260, block.Number(1+rnd.IntN(20)*rnd.IntN(4)))
			next.from, next.open = &from, false
		}
		if n := len(s.steps); n > 0 && s.steps[n-1].open { // only what voids or continues with it can follow
			start := head - block.Number(s.steps[n-1].grow)
			next.from, next.open = &start, false
		}
		head += block.Number(next.grow)
		s.steps = append(s.steps, next)
	}
	s.steps[len(s.steps)-1].open = false
	st := newLiveEnv(t, nil, "test", s, 290, nil)
	kills := 0
	for told := false; !told; {
		p := st.process()
		dead := p.kill(3 + rnd.IntN(12))
		p.start()
		select {
		case <-dead:
			kills++
			must(t, <-p.ended)
			if rnd.IntN(2) == 0 {
				st.apply()
			}
			st.queue()
		case <-s.finished:
			p.end()
			told = true
		case <-time.After(30 * time.Second):
			t.Fatalf("it goes on for ever; published %q", p.published())
		}
	}
	st.settled()
	st.mayResume()
	t.Logf("%d kills", kills)
	if kills < 5 {
		t.Errorf("only %d kills", kills)
	}
}

// TestAZombieOfTheLaneIsFenced lets two processes hold the lane at the same time.
func TestAZombieOfTheLaneIsFenced(t *testing.T) {
	t.Parallel()
	paused, resumed := make(chan struct{}), make(chan struct{})
	s := newScriptedChain(t, 0, 10, one, grow(2), step{grow: 1, say: func() { close(paused); <-resumed }}, grow(1))
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	zombie := st.process()
	zombie.start()
	zombie.until(paused)
	st.queue()

	successor := newScriptedChain(t, 0, 10, one)
	successor.extend(2)
	successor.steps = []step{reorg(11, 2), grow(1)}
	st.chain = successor
	heir := st.runScript()
	close(resumed)
	zombie.until(s.gone(0))
	zombie.end()
	if got := zombie.published(); !slices.Equal(got, []string{"invalidate 10", "complete 10-11"}) {
		t.Errorf("the zombie published %q", got)
	}
	if got := heir.published(); len(got) == 0 {
		t.Error("the heir published nothing")
	}
	st.settled()
}

// TestAnEpochThatBegins while the chain is followed has the lane begin again where
// the planner says.
func TestAnEpochThatBegins(t *testing.T) {
	t.Parallel()
	s := newScriptedChain(t, 0, 10, one, grow(2), grow(2))
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	s.add(step{wait: true, say: func() {
		spec, rev, err := st.state.LoadSpec(t.Context())
		must(t, err)
		spec.Epoch, spec.Live = 2, &state.Origin{Start: 12, Points: []block.Cursor{s.at(9), s.at(11)}}
		_, err = st.state.SaveSpec(t.Context(), spec, rev)
		must(t, err)
		st.emptyLane()
	}}, grow(1))
	p := st.runScript()
	want(t, "entries", p.published(), []string{
		"invalidate 10", "complete 10-11", "complete 12-13",
		"invalidate 12", "complete 12-13", "complete 14-14",
	})
	for i, h := range p.entries {
		if epoch := uint64(1 + i/3); h.Epoch != epoch {
			t.Errorf("entry %d, %s, is of epoch %d", i, summary(h), h.Epoch)
		}
	}
	// The lane holds the new epoch alone; it begins behind nothing.
	head, err := st.log.Head(t.Context(), queue.LiveLane)
	must(t, err)
	if head.Entry.Epoch != 2 || head.After != 0 || summary(head.Entry) != "invalidate 12" {
		t.Errorf("the lane begins with %+v", head)
	}
	if o := s.options(); len(o) != 2 || !slices.Equal(o[1].Resume, []block.Cursor{s.at(9), s.at(11)}) {
		t.Errorf("followed with %+v", o)
	}
	st.apply()
	if l := st.position(func(l state.LivePosition) bool { return l.Epoch == 2 }); l.Phase != state.LiveRunning {
		t.Errorf("position %+v", l)
	}
}

// TestALaneThatIsLost is reported to the planner and not written to any more, until an
// epoch begins.
func TestALaneThatIsLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*liveEnv, queue.Tail) error{
		"all of it": func(st *liveEnv, tail queue.Tail) error {
			return st.log.TrimLanes(st.t.Context(), queue.Live, tail.Seq)
		},
		"the watermark behind unfinished rows": func(st *liveEnv, tail queue.Tail) error {
			return st.log.Trim(st.t.Context(), tail.Seq-1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScriptedChain(t, 0, 10, one, grow(2), step{grow: 40, messages: 40, open: true})
			st := newLiveEnv(t, nil, "test", s, 10, nil)
			st.runScript()
			tail, err := st.log.Tail(t.Context(), queue.LiveLane)
			must(t, err)
			if tail.Entry.Kind != entry.Data {
				t.Fatalf("the lane ends with %s", summary(tail.Entry))
			}
			must(t, lose(st, tail))
			st.queue()
			p := st.process()
			p.start()
			l := st.position(func(l state.LivePosition) bool { return l.Phase == state.LiveLost })
			if l.Epoch != 1 {
				t.Errorf("position %+v", l)
			}
			if got := p.published(); len(got) > 0 {
				t.Errorf("published %q", got)
			}
			if load, err := st.tasks.Load(t.Context(), queue.LiveTask); err != nil || load.Queued+load.Held != 1 {
				t.Errorf("the task is gone: %+v, %v", load, err)
			}
			// The epoch that the planner begins is taken up by the same process.
			spec, rev, err := st.state.LoadSpec(t.Context())
			must(t, err)
			spec.Epoch++
			_, err = st.state.SaveSpec(t.Context(), spec, rev)
			must(t, err)
			st.emptyLane()
			s.add(grow(1))
			p.until(s.finished)
			p.end()
			st.settled()
		})
	}
}

// TestGivenBack: told to stop, a process returns the lane to another at once, without
// entries that are not complete.
func TestGivenBack(t *testing.T) {
	t.Parallel()
	var stop atomic.Pointer[context.CancelFunc]
	s := newScriptedChain(t, 0, 10, one, grow(2), step{grow: 30, messages: 30, open: true}, step{wait: true, say: func() { (*stop.Load())() }}, reorg(12, 0))
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	first, second := st.process(), st.process()
	first.start()
	stop.Store(&first.stop)
	must(t, <-first.ended)
	began := time.Now()
	second.start()
	second.until(s.finished)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the lane was taken over after %s", took)
	}
	second.end()
	st.settled()
	if got := second.published(); len(got) == 0 || got[0] != "invalidate 12" {
		t.Errorf("the next process published %q", got)
	}
}

// TestWhatTheLaneWaitsFor is told, once it is over as well.
func TestWhatTheLaneWaitsFor(t *testing.T) {
	t.Parallel()
	s := newScriptedChain(t, 0, 10, one, grow(1))
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	p := st.process()
	p.start()
	p.until(s.finished)
	o := s.options()[0]
	o.OnWait(amp.Wait{Reason: amp.ErrSilence})
	o.OnWait(amp.Wait{Reason: errCut})
	p.end()
	want(t, "waits", p.waits, []string{errCut.Error()})
}

// TestTheLaneNamesTheBlockThatCannotBeComputed, wherever it lies among the next, asks
// for it alone when it is asked again, and forgets it when it can be computed.
func TestTheLaneNamesTheBlockThatCannotBeComputed(t *testing.T) {
	t.Parallel()
	s := newScriptedChain(t, 0, 10, one, grow(1))
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	p := st.process()
	p.start()
	p.until(s.finished)
	explain := s.options()[0].Explain
	cause := fmt.Errorf("DoGet: %w", amp.ErrRow)
	told := func(bad *block.Number) (text string, asked int) {
		s.mu.Lock()
		s.bad, s.asked = bad, 0
		s.mu.Unlock()
		err := explain(t.Context(), nil, cause)
		if !errors.Is(err, amp.ErrRow) {
			t.Errorf("explained as %v", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return err.Error(), s.asked
	}
	for _, n := range []block.Number{11, 12, 600, 1010} {
		for _, most := range []int{12, 1} {
			if text, asked := told(&n); !strings.HasPrefix(text, fmt.Sprintf("block %d of the live chain cannot be read", n)) || asked > most {
				t.Errorf("after %d queries: %s", asked, text)
			}
		}
	}
	if text, _ := told(nil); text != cause.Error() {
		t.Errorf("when nothing is wrong: %s", text)
	}
	p.end()
}
