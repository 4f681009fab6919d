package extract_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestAnOldPlanLeavesANewerLaneAlone: a process that has read the plan before an epoch
// began finds the lane, or only the position, of that epoch. It removes nothing, writes
// nothing, and resumes when it has the plan that the lane belongs to.
func TestAnOldPlanLeavesANewerLaneAlone(t *testing.T) {
	t.Parallel()
	for name, published := range map[string]bool{"the lane has begun": true, "the position was written": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScriptedChain(t, 0, 12, one, grow(1))
			st := newLiveEnv(t, nil, "test", s, 10, nil)
			newer := state.LivePosition{Epoch: 2, Next: 12, Points: []block.Cursor{s.at(11)}, Phase: state.LiveRunning}
			if published {
				h := entry.Header{Kind: entry.Invalidate, Epoch: 2, Network: "test", Range: block.Closed(12, 12), Prev: s.at(11).Hash, Seen: time.UnixMicro(1).UTC()}
				var err error
				newer.Seq, err = st.log.Publish(t.Context(), queue.LiveLane, 0, "newer", entry.Group{{Header: h}})
				must(t, err)
			}
			_, err := st.state.SaveLivePosition(t.Context(), newer, 0)
			must(t, err)
			before, rev, err := st.state.LivePosition(t.Context())
			must(t, err)

			p := st.process()
			p.start()
			p.rested()
			st.taskIs("there", func(l queue.Load) bool { return l.Queued+l.Held == 1 })
			if after, now, err := st.state.LivePosition(t.Context()); err != nil || now != rev || !reflect.DeepEqual(after, before) {
				t.Errorf("the position is %+v, %v", after, err)
			}
			tail, err := st.log.Tail(t.Context(), queue.LiveLane)
			must(t, err)
			if tail.Found != published || tail.Seq != newer.Seq {
				t.Errorf("the lane ends with %+v", tail)
			}
			if got := p.published(); len(got) > 0 {
				t.Errorf("published %q", got)
			}

			spec, specRev, err := st.state.LoadSpec(t.Context())
			must(t, err)
			spec.Epoch, spec.Live = 2, &state.Origin{Start: 12, Points: []block.Cursor{s.at(11)}}
			_, err = st.state.SaveSpec(t.Context(), spec, specRev)
			must(t, err)
			p.until(s.finished)
			p.end()
			if got := p.published(); !slices.Contains(got, "complete 12-12") || slices.Contains(got, "invalidate 10") {
				t.Errorf("published %q", got)
			}
		})
	}
}

// TestATentativePlanIsNotBegun: the sinks were not asked yet.
func TestATentativePlanIsNotBegun(t *testing.T) {
	t.Parallel()
	s := newScriptedChain(t, 0, 12, one, grow(1))
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	spec, rev, err := st.state.LoadSpec(t.Context())
	must(t, err)
	spec.Live.Tentative = true
	rev, err = st.state.SaveSpec(t.Context(), spec, rev)
	must(t, err)
	p := st.process()
	p.start()
	st.taskIs("done", func(l queue.Load) bool { return l.Queued+l.Held == 0 })
	if got := p.published(); len(got) > 0 {
		t.Errorf("published %q", got)
	}
	spec.Live.Tentative = false
	_, err = st.state.SaveSpec(t.Context(), spec, rev)
	must(t, err)
	st.queue()
	p.until(s.finished)
	p.end()
	st.settled()
}

// TestAZombieLeavesThePositionAlone: it writes the position before it publishes what
// voids blocks, and only then would be fenced.
func TestAZombieLeavesThePositionAlone(t *testing.T) {
	t.Parallel()
	paused, resume := make(chan struct{}), make(chan struct{})
	undo := reorg(11, 2)
	undo.say = func() { close(paused); <-resume }
	s := newScriptedChain(t, 0, 10, one, grow(2), undo)
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	zombie := st.process()
	zombie.start()
	zombie.until(paused)

	was, rev, err := st.state.LivePosition(t.Context())
	must(t, err)
	was.Epoch, was.Next = 2, 17
	rev, err = st.state.SaveLivePosition(t.Context(), was, rev)
	must(t, err)
	close(resume)
	zombie.until(s.gone(0))
	now, after, err := st.state.LivePosition(t.Context())
	must(t, err)
	if after != rev || now.Epoch != 2 || now.Next != 17 {
		t.Errorf("the position is %+v", now)
	}
	if got := zombie.published(); !slices.Equal(got, []string{"invalidate 10", "complete 10-11"}) {
		t.Errorf("the zombie published %q", got)
	}
	zombie.end()
}

// rested waits until the process has given the live task back.
func (p *process) rested() {
	p.t.Helper()
	for limit := time.Now().Add(30 * time.Second); ; <-time.After(5 * time.Millisecond) {
		p.mu.Lock()
		rests := p.rests
		p.mu.Unlock()
		if rests > 0 {
			return
		}
		if time.Now().After(limit) {
			p.t.Fatal("the task is not given back")
		}
	}
}

// taskIs waits for a load of the live tasks.
func (s *liveEnv) taskIs(what string, so func(queue.Load) bool) {
	s.t.Helper()
	for limit := time.Now().Add(30 * time.Second); ; <-time.After(5 * time.Millisecond) {
		load, err := s.tasks.Load(s.t.Context(), queue.LiveTask)
		must(s.t, err)
		if so(load) {
			return
		}
		if time.Now().After(limit) {
			s.t.Fatalf("the task is not %s: %+v", what, load)
		}
	}
}
