package extract_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestTheEndInsideARange: what lies beyond max_block is left out, and the range gets
// no watermark, so that a later run with a higher max_block reads it again, whole.
func TestTheEndInsideARange(t *testing.T) {
	t.Parallel()
	end := block.Number(15)
	s := newScriptedChain(t, 0, 10, one, grow(3), step{grow: 5, messages: 5}, grow(5))
	st := newLiveEnv(t, nil, "test", s, 10, &end)
	l := st.phase(state.LiveDone)
	if l.Until == nil || *l.Until != end || l.Next != end {
		t.Errorf("position %+v", l)
	}
	want(t, "entries", slim(st.apply()), []string{"invalidate 10", "complete 10-12", "data 13-14"})
	if c := st.store.CommitState().Coverage; !c.Equal(block.NewSet(block.Range{Start: 10, End: end})) {
		t.Errorf("coverage %v", c)
	}
	if load, err := st.tasks.Load(t.Context(), queue.LiveTask); err != nil || load.Queued+load.Held > 0 {
		t.Errorf("the task is left: %+v, %v", load, err)
	}

	spec, rev, err := st.state.LoadSpec(t.Context())
	must(t, err)
	end = 18
	spec.MaxBlock = &end
	_, err = st.state.SaveSpec(t.Context(), spec, rev)
	must(t, err)
	st.queue()
	st.position(func(state.LivePosition) bool { return true })
	p := st.process()
	p.start()
	l = st.position(func(l state.LivePosition) bool { return l.Phase == state.LiveDone && *l.Until == end })
	p.end()
	want(t, "entries", slim(st.settled()), []string{"invalidate 13", "complete 13-17"})
	if l.Next != end {
		t.Errorf("position %+v", l)
	}
}

// TestAReorgBehindTheEnd: a lane that has all its blocks is done, whatever comes.
func TestAReorgBehindTheEnd(t *testing.T) {
	t.Parallel()
	end := block.Number(13)
	s := newScriptedChain(t, 0, 10, one, grow(2), reorg(11, 1), grow(4))
	st := newLiveEnv(t, nil, "test", s, 10, &end)
	st.phase(state.LiveDone)
	want(t, "entries", slim(st.apply()), []string{"invalidate 10", "complete 10-11", "invalidate 11", "complete 11-12"})
}

// TestAnErrorThatStays is the planner's to tell: the phase has its text, and the task
// does not come again.
func TestAnErrorThatStays(t *testing.T) {
	t.Parallel()
	s := newScriptedChain(t, 0, 10, one, grow(2), step{err: fault.Permanent(amp.ErrDeepReorg)})
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	l := st.phase(state.LiveFailed)
	if !strings.Contains(l.Error, amp.ErrDeepReorg.Error()) || l.Next != 12 || len(l.Points) != 2 {
		t.Errorf("position %+v", l)
	}
	if load, err := st.tasks.Load(t.Context(), queue.LiveTask); err != nil || load.Queued+load.Held > 0 {
		t.Errorf("the task is left: %+v, %v", load, err)
	}
	// A run that tries again resumes behind what is complete.
	s.add(grow(1))
	st.queue()
	st.runScript()
	want(t, "entries", st.settled(), []string{"invalidate 10", "complete 10-11", "complete 12-12"})
}

// TestAStreamThatDoesNotGoOn where the lane ends is an error, not a hole.
func TestAStreamThatDoesNotGoOn(t *testing.T) {
	t.Parallel()
	s := newScriptedChain(t, 0, 10, one, grow(2))
	st := newLiveEnv(t, nil, "test", s, 10, nil)
	spec, rev, err := st.state.LoadSpec(t.Context())
	must(t, err)
	spec.Live.Points = []block.Cursor{s.at(7)} // a plan that is damaged
	_, err = st.state.SaveSpec(t.Context(), spec, rev)
	must(t, err)
	l := st.phase(state.LiveFailed)
	if !strings.Contains(l.Error, "block 8") || !strings.Contains(l.Error, "block 10") {
		t.Errorf("position %+v", l)
	}
	want(t, "entries", st.apply(), []string{"invalidate 10"})
}

// TestAnErrorThatStaysWhileNATSIsAway cannot be written down; a process that is told to
// stop stops nevertheless.
func TestAnErrorThatStaysWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	server := serve(t)
	s := newScriptedChain(t, 0, 10, one, grow(2), step{say: func() { must(t, server.Close()) }, err: fault.Permanent(amp.ErrDeepReorg)})
	st := newLiveEnv(t, server, "test", s, 10, nil)
	p := st.process()
	p.x.Grace = 100 * time.Millisecond
	said := make(chan struct{})
	p.x.Observer = waitWatch{p, said}
	p.start()
	p.until(said)
	p.stop()
	select {
	case err := <-p.ended:
		must(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("it does not stop")
	}
}

// waitWatch hears that the live lane waits.
type waitWatch struct {
	*process
	said chan struct{}
}

func (w waitWatch) Waiting(_ string, reason error) {
	select {
	case <-w.said:
	default:
		if reason != nil {
			close(w.said)
		}
	}
}
