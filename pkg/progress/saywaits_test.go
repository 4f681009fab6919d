package progress_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/progress"
)

// saying is a meter of which every second is watched, and what it has said.
type saying struct {
	*progress.Meter
	said []string
}

func newSaying() *saying {
	s := &saying{Meter: progress.NewMeter("pg")}
	events := map[progress.WaitEvent]string{
		progress.WaitBegan: "began", progress.WaitChanged: "changed", progress.WaitLasts: "lasts", progress.WaitEnded: "ended",
	}
	s.Say = func(n progress.WaitNote) {
		s.said = append(s.said, fmt.Sprintf("%s %s: %s after %v", n.Part, events[n.Event], n.Reason, n.For))
	}
	return s
}

// pass lets time pass.
func (s *saying) pass(d time.Duration) {
	for range int(d / time.Second) {
		time.Sleep(time.Second)
		s.SayWaits()
	}
}

func (s *saying) want(t *testing.T, when string, want ...string) {
	t.Helper()
	if !slices.Equal(s.said, want) {
		t.Errorf("%s: said %q\nwant %q", when, s.said, want)
	}
	s.said = nil
}

// TestAWaitIsSaid when it begins, when its reason is another, each five minutes, and when
// it ends, however often it is told.
func TestAWaitIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSaying()
		for attempt := range 200 {
			m.Waiting("sink pg", fmt.Sprintf("dial tcp 127.0.0.1:%d: connection refused", 40000+attempt))
			m.pass(2 * time.Second)
		}
		m.want(t, "down for 400 s",
			"sink pg began: dial tcp 127.0.0.1:40000: connection refused after 0s",
			"sink pg lasts: dial tcp 127.0.0.1:40149: connection refused after 5m0s")
		m.Waiting("sink pg", "the database system is starting up")
		m.want(t, "another reason", "sink pg changed: the database system is starting up after 6m40s")
		m.pass(3 * time.Second)
		m.Waiting("sink pg", "")
		m.Waiting("sink pg", "")
		m.want(t, "it is back", "sink pg ended: the database system is starting up after 6m43s")
		m.pass(time.Hour)
		m.want(t, "nothing is waited for")
	})
}

// TestReasonsThatTakeTurns are said once in five minutes each.
func TestReasonsThatTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSaying()
		for range 100 {
			m.Waiting("sink pg", "timeout")
			m.pass(time.Second)
			m.Waiting("sink pg", "connection refused")
			m.pass(time.Second)
		}
		m.want(t, "for 200 s", "sink pg began: timeout after 0s", "sink pg changed: connection refused after 1s")
		m.Waiting("sink pg", "timeout")
		m.pass(40 * time.Second)
		m.want(t, "one stays", "sink pg changed: timeout after 3m50s")
	})
}

// TestAFaultThatComesAndGoes is said twice a minute at most, and always when it stays.
func TestAFaultThatComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSaying()
		for range 60 {
			m.Waiting("live", "EOF")
			m.pass(time.Second)
			m.Waiting("live", "")
			m.pass(time.Second)
		}
		if len(m.said) != 8 { // begun and ended, every 30 s
			t.Errorf("said in two minutes: %q", m.said)
		}
		m.said = nil
		m.Waiting("live", "EOF")
		m.pass(time.Minute)
		if len(m.said) != 1 {
			t.Errorf("one that stays: said %q", m.said)
		}
	})
}

// TestPartitionsAreOneWait: there are thousands of them.
func TestPartitionsAreOneWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSaying()
		for i := range 50 {
			m.Waiting(fmt.Sprintf("partition %d.0", i), fmt.Sprintf("blocks [%d, %d): is Amp running?", i, i+1))
		}
		m.pass(10 * time.Second)
		for i := range 50 {
			m.Waiting(fmt.Sprintf("partition %d.0", i), "")
		}
		m.want(t, "all of them", "partition 0.0 began: blocks [0, 1): is Amp running? after 0s",
			"partition 49.0 ended: blocks [49, 50): is Amp running? after 10s")
	})
}

// TestWhatIsInOrderIsSaidSeldom: a log that is full from time to time, and blocks that
// the chain does not have yet.
func TestWhatIsInOrderIsSaidSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, kind := range []health.Kind{health.BackPressure, health.Expected} {
			m := newSaying()
			for range 240 {
				m.WaitingFor(kind, "partition 0.0", "the log is full")
				m.pass(time.Second)
				m.WaitingFor(kind, "partition 0.0", "")
			}
			m.want(t, "for four minutes", "partition 0.0 began: the log is full after 0s", "partition 0.0 ended: the log is full after 1s")
		}
	})
}

// TestWhatHasEndedHasNotResumed: a sink that has stopped for good, a pipeline that has
// failed, and a process that ends.
func TestWhatHasEndedHasNotResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, end := range map[string]func(*saying, context.CancelFunc){
			"a sink":     func(m *saying, _ context.CancelFunc) { m.Stopped("pg", "gave up") },
			"a pipeline": func(m *saying, _ context.CancelFunc) { m.Failed("gave up") },
			"a process":  func(_ *saying, cancel context.CancelFunc) { cancel() },
		} {
			m := newSaying()
			ctx, cancel := context.WithCancel(t.Context())
			m.SayUntil(ctx)
			m.Waiting("sink pg", "connection refused")
			m.said = nil
			end(m, cancel)
			m.Waiting("sink pg", "")
			m.pass(time.Minute)
			m.want(t, name)
			if waits := m.Waits(); len(waits) > 0 {
				t.Errorf("%s still waits: %+v", name, waits)
			}
			cancel()
		}
	})
}

// TestWhatIsShownFirst is what a person should look at first: a fault before what is in
// order, what others need before them, and then what is new.
func TestWhatIsShownFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter()
		first := func(want string) {
			t.Helper()
			time.Sleep(time.Second)
			if got := m.Waits(); got[0].Part != want {
				t.Errorf("%s is first of %+v, want %s", got[0].Part, got, want)
			}
		}
		m.WaitingFor(health.Expected, "start of the live lane", "the chain has not reached block 7")
		first("start of the live lane")
		m.Waiting("sink pg", "no responders")
		first("sink pg")
		m.Waiting("sink lake", "no space left on device")
		first("sink lake")
		m.Waiting("sink pg", "connection refused")
		first("sink pg")
		m.WaitingFor(health.NATSAway, "NATS", "connection to NATS is lost")
		first("NATS")
		m.Waiting("sink pg", "another")
		first("NATS")
	})
}
