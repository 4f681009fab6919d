package amp_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// TestAServerThatAnswersPingsAndNoCall: each call ends within its limit, says so, and
// is to be tried later.
func TestAServerThatAnswersPingsAndNoCall(t *testing.T) {
	t.Parallel()
	hung := func(amptest.Query) amptest.Fault { return amptest.Delay(make(chan struct{})) }
	after := func(n int) func(amptest.Query) amptest.Fault {
		return func(amptest.Query) amptest.Fault { return amptest.HoldAfter(n, nil) }
	}
	info := func(t *testing.T, client *amp.Client) error {
		_, err := client.Info(t.Context(), query)
		return err
	}
	head := func(t *testing.T, client *amp.Client) error {
		_, err := client.Head(t.Context(), query)
		return err
	}
	fetch := func(t *testing.T, client *amp.Client) error {
		_, err := collect(t.Context(), t, client, query)
		return err
	}
	probe := func(t *testing.T, client *amp.Client) error {
		_, err := client.Probe(t.Context(), query, amptest.Network, 2)
		return err
	}
	for name, c := range map[string]struct {
		fault func(amptest.Query) amptest.Fault
		call  func(*testing.T, *amp.Client) error
		took  time.Duration
		want  error
	}{
		"schema":              {hung, info, time.Minute, amp.ErrNoAnswer},
		"head, planning":      {hung, head, time.Minute, amp.ErrNoAnswer},
		"head":                {after(0), head, time.Minute, amp.ErrNoAnswer},
		"fetch, planning":     {hung, fetch, time.Minute, amp.ErrNoAnswer},
		"fetch, the schema":   {after(0), fetch, 15 * time.Minute, amp.ErrNoAnswer},
		"fetch, first rows":   {after(1), fetch, 15 * time.Minute, amp.ErrNoAnswer},
		"fetch, more rows":    {after(2), fetch, 10 * time.Minute, amp.ErrNoAnswer},
		"probe, planning":     {hung, probe, time.Minute, amp.ErrNoAnswer},
		"probe":               {after(0), probe, time.Minute, amp.ErrUnanswered},
		"probe, first blocks": {after(1), probe, time.Minute, amp.ErrUnanswered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulated(t, func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, _ *pipes) {
				chain.Extend(made(0, 9, 0)...)
				srv.Next(c.fault)
				began := time.Now()
				err := c.call(t, client)
				took := time.Since(began)
				if !errors.Is(err, c.want) || fault.Of(err) != fault.ClassLater || took < c.took || took > c.took+time.Second {
					t.Errorf("after %v, want %v: %v (%v)", took, c.took, err, fault.Of(err))
				}
				// A smaller range may be sorted in time; it is not planned any sooner.
				if less := c.took == 15*time.Minute; errors.Is(err, amp.ErrTooMuch) != less {
					t.Errorf("%v: asks for less: %v, want %v", err, !less, less)
				}
			})
		})
	}
}

// TestFollowAServerThatAnswersNoCall: planning the query has a limit and is told of
// before, and so has a range that was begun; between ranges there is none.
func TestFollowAServerThatAnswersNoCall(t *testing.T) {
	t.Parallel()
	simulated(t, func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, _ *pipes) {
		chain.Extend(made(0, 3, 0)...)
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.Delay(make(chan struct{})) })
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.HoldAfter(3, nil) })
		var told []string
		o := amp.FollowOptions{OnWait: func(w amp.Wait) { told = append(told, w.Reason.Error()) }}
		got, err := follow(t.Context(), t, client, o, 7)
		want := "rows 1 of 0-3, undo 0 after nothing, rows 1 of 0-3, rows 1 of 0-3, rows 1 of 0-3, rows 1 of 0-3, watermark 0-3"
		if err != nil || got != want {
			t.Errorf("%s, %v", got, err)
		}
		text := strings.Join(told, "\n")
		for _, part := range []string{"waiting 30s for the server to accept the query", "GetFlightInfo: " + amp.ErrNoAnswer.Error() + " for 1m0s", "DoGet: " + amp.ErrNoAnswer.Error() + " for 10m0s"} {
			if !strings.Contains(text, part) {
				t.Errorf("%q is not told:\n%s", part, text)
			}
		}
	})
}

// TestFollowIsPatientWithAServerThatFails: minutes of INTERNAL end no stream that never
// gives up.
func TestFollowIsPatientWithAServerThatFails(t *testing.T) {
	t.Parallel()
	simulated(t, func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, _ *pipes) {
		chain.Extend(made(0, 3, 0)...)
		var longest time.Duration
		until := time.Now().Add(6 * time.Hour)
		fail := func(amptest.Query) amptest.Fault {
			return amptest.FailAfter(0, codes.Internal, "streaming query execution error | Caused by: out of luck")
		}
		srv.Next(fail)
		o := amp.FollowOptions{
			Backoff: fault.Backoff{GiveUp: fault.Forever, Max: 2 * time.Minute},
			Resume:  []block.Cursor{chain.At(1)},
			OnWait: func(w amp.Wait) {
				longest = max(longest, w.Pause)
				if time.Now().Before(until) {
					srv.Next(fail)
				}
			},
		}
		got, err := follow(t.Context(), t, client, o, 3)
		if err != nil || got != "rows 1 of 2-3, rows 1 of 2-3, watermark 2-3" {
			t.Errorf("%s, %v", got, err)
		}
		if longest < time.Minute || longest > 2*time.Minute {
			t.Errorf("the longest pause was %v", longest)
		}
	})
}
