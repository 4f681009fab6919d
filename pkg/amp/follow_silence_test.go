package amp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// simulated runs a test in simulated time, with a server and a client inside. The
// client dials whichever of the networks is the current one.
func simulated(t *testing.T, test func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, network *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		chain := amptest.NewChain(amptest.Network, amptest.Schema)
		srv := amptest.Serve(t, network, chain.Answer)
		defer srv.Stop()
		client, err := amp.Open(t.Context(), amp.Config{URL: "grpc://pipe", Dial: network.dial, OnSilence: func(since time.Time) {
			if !network.dead.Load() && !since.IsZero() {
				t.Error("a server that answers pings is said to stand still")
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		test(t, chain, srv, client, network)
	})
}

// TestFollowSilence: a chain that stands still for a day is reported, and no error.
func TestFollowSilence(t *testing.T) {
	t.Parallel()
	simulated(t, func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, _ *pipes) {
		chain.Extend(made(0, 3, 0)...)
		time.AfterFunc(24*time.Hour, func() { chain.Extend(made(4, 5, 0)...) })
		var waits []amp.Wait
		o := amp.FollowOptions{Silence: time.Hour, OnWait: func(w amp.Wait) { waits = append(waits, w) }}
		got, err := follow(t.Context(), t, client, o, 8)
		want := "rows 1 of 0-3, rows 1 of 0-3, rows 1 of 0-3, rows 1 of 0-3, watermark 0-3, rows 1 of 4-5, rows 1 of 4-5, watermark 4-5"
		if err != nil || got != want || resumes(srv) != "none" {
			t.Errorf("%s, %v (%s)", got, err, resumes(srv))
		}
		if n := len(waits); n != 23 && n != 24 {
			t.Fatalf("told of silence %d times in a day", n)
		}
		if w := waits[2]; !errors.Is(w.Reason, amp.ErrSilence) || w.Silent != 3*time.Hour || w.Pause != 0 || w.After == nil || w.After.Number != 3 {
			t.Errorf("told %+v", w)
		}
	})
}

// TestFollowIsNotSilentWhileItsConsumerWorks: the time that the consumer takes for
// itself is not the server's.
func TestFollowIsNotSilentWhileItsConsumerWorks(t *testing.T) {
	t.Parallel()
	simulated(t, func(t *testing.T, chain *amptest.Chain, _ *amptest.Server, client *amp.Client, _ *pipes) {
		chain.Extend(made(0, 3, 0)...)
		o := amp.FollowOptions{OnWait: func(w amp.Wait) { t.Errorf("told %+v", w) }}
		for e, err := range client.Follow(t.Context(), query, o) {
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(10 * time.Minute)
			if _, complete := e.(amp.Watermark); complete {
				break
			}
		}
	})
}

// TestFollowCursorsThatMeetSilence: above the head until the chain gets there, and
// below the earliest block for ever (AP 3.4). Either is reported.
func TestFollowCursorsThatMeetSilence(t *testing.T) {
	t.Parallel()
	simulated(t, func(t *testing.T, chain *amptest.Chain, _ *amptest.Server, client *amp.Client, _ *pipes) {
		chain.Extend(made(100, 110, 0)...)
		told := 0
		o := amp.FollowOptions{
			Resume: []block.Cursor{chain.At(105), {Network: amptest.Network, Number: 120, Hash: amptest.Hash(120, 9)}},
			OnWait: func(w amp.Wait) {
				told++
				if told == 5 { // the chain arrives, on another branch
					chain.Extend(made(111, 121, 0)...)
				}
			},
		}
		got, err := follow(t.Context(), t, client, o, 2)
		if err != nil || got != "reorg 106 after 105, rows 1 of 106-121" || told < 5 {
			t.Errorf("%s, %v, told of %d waits", got, err, told)
		}

		told = 0
		o.Resume = []block.Cursor{{Network: amptest.Network, Number: 50, Hash: amptest.Hash(50, 0)}}
		o.OnWait = func(w amp.Wait) { told++ }
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		got, err = follow(ctx, t, client, o, 1)
		if !errors.Is(err, context.DeadlineExceeded) || got != "" || told < 58 {
			t.Errorf("%s, %v, told of %d waits", got, err, told)
		}
	})
}

// TestFollowHalfOpen: a server that is gone without a word is noticed by pings, which is
// reported before the connection is given up, and the stream continues from another, after
// the unfinished was undone.
func TestFollowHalfOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chain := amptest.NewChain(amptest.Network, amptest.Schema)
		chain.Window(2)
		chain.Extend(made(0, 3, 0)...)
		first, second := newPipes(), newPipes()
		var current atomic.Pointer[pipes]
		current.Store(first)
		dial := func(ctx context.Context, address string) (net.Conn, error) { return current.Load().dial(ctx, address) }
		srv := amptest.Serve(t, first, chain.Answer)
		defer srv.Stop()
		other := amptest.Serve(t, second, chain.Answer)
		defer other.Stop()
		began := time.Now()
		var silences []string
		client, err := amp.Open(t.Context(), amp.Config{URL: "grpc://pipe", Dial: dial, OnSilence: func(since time.Time) {
			silences = append(silences, fmt.Sprintf("%v after %v", !since.IsZero(), time.Since(began).Round(time.Second)))
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()

		dead := make(chan struct{})
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.HoldAfter(7, nil).Notify(dead) })
		go func() {
			<-dead
			synctest.Wait() // what was sent has arrived
			current.Store(second)
			first.die()
		}()
		got, err := follow(t.Context(), t, client, amp.FollowOptions{}, 8)
		want := "rows 1 of 0-1, rows 1 of 0-1, watermark 0-1, rows 1 of 2-3, undo 2 after 1, rows 1 of 2-3, rows 1 of 2-3, watermark 2-3"
		if took := time.Since(began); err != nil || got != want || took > 40*time.Second || resumes(other) != "1" {
			t.Errorf("after %v: %s, %v (%s)", took, got, err, resumes(other))
		}
		if !slices.Equal(silences, []string{"true after 13s", "false after 30s"}) {
			t.Errorf("silence was reported: %v", silences)
		}
	})
}

// TestFollowIsNotWornOutByAProxy that cuts silent streams every few minutes, each
// time with an error of its own.
func TestFollowIsNotWornOutByAProxy(t *testing.T) {
	t.Parallel()
	simulated(t, func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, _ *pipes) {
		chain.Extend(made(0, 3, 0)...)
		o := amp.FollowOptions{Resume: []block.Cursor{chain.At(3)}}
		const cuts = 50
		for range cuts {
			srv.Next(func(amptest.Query) amptest.Fault {
				a := amptest.Answer{Schema: amptest.Schema, Script: func(context.Context, func(amptest.Part) error) error {
					<-time.After(5 * time.Minute)
					return amptest.Status(codes.Internal, "stream timeout")
				}}
				return amptest.Instead(a)
			})
		}
		time.AfterFunc(24*time.Hour, func() { chain.Extend(made(4, 4, 0)...) })
		got, err := follow(t.Context(), t, client, o, 2)
		if err != nil || got != "rows 1 of 4-4, watermark 4-4" || len(srv.Requests()) != 2*(cuts+1) {
			t.Errorf("%s, %v after %d calls", got, err, len(srv.Requests()))
		}
	})
}

// TestFollowAsksForTheHead: a stream that was accepted and is never answered is reported
// and asked for again when the head is beyond it, and only then.
func TestFollowAsksForTheHead(t *testing.T) {
	t.Parallel()
	hung := func(q amptest.Query) amptest.Fault {
		if q.Stream() {
			return amptest.HoldAfter(0, nil)
		}
		return amptest.Pass()
	}
	stalled := func(told []string) int {
		n := 0
		for _, text := range told {
			if strings.Contains(text, amp.ErrStalled.Error()) {
				n++
			}
		}
		return n
	}
	run := func(t *testing.T, test func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, o amp.FollowOptions, told *[]string)) {
		simulated(t, func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, _ *pipes) {
			chain.Extend(made(0, 3, 0)...)
			var told []string
			o := amp.FollowOptions{Head: "SELECT * FROM blocks LIMIT 0", Resume: []block.Cursor{chain.At(3)},
				OnWait: func(w amp.Wait) { told = append(told, w.Reason.Error()) }}
			test(t, chain, srv, client, o, &told)
		})
	}
	t.Run("the chain moves", func(t *testing.T) {
		run(t, func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, o amp.FollowOptions, told *[]string) {
			srv.Next(hung)
			time.AfterFunc(time.Minute, func() { chain.Extend(made(4, 9, 0)...) })
			began := time.Now()
			got, err := follow(t.Context(), t, client, o, 7)
			if err != nil || !strings.HasSuffix(got, "watermark 4-9") || time.Since(began) > 10*time.Minute {
				t.Errorf("after %v: %s, %v", time.Since(began), got, err)
			}
			text := strings.Join(*told, "\n")
			if stalled(*told) < 2 || !strings.Contains(text, "it has sent nothing after block 3 for 3m") || !strings.Contains(text, "its head is block 9; the stream is asked for again") {
				t.Errorf("told:\n%s", text)
			}
		})
	})
	t.Run("the chain stands still", func(t *testing.T) {
		run(t, func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, o amp.FollowOptions, told *[]string) {
			time.AfterFunc(24*time.Hour, func() { chain.Extend(made(4, 4, 0)...) })
			got, err := follow(t.Context(), t, client, o, 2)
			if err != nil || got != "rows 1 of 4-4, watermark 4-4" || stalled(*told) != 0 {
				t.Errorf("%s, %v, told:\n%s", got, err, strings.Join(*told, "\n"))
			}
			streams := 0
			for _, r := range srv.Requests() {
				if r.Method == "GetFlightInfo" && r.Query.Stream() {
					streams++
				}
			}
			if streams != 1 {
				t.Errorf("asked for the stream %d times", streams)
			}
		})
	})
	t.Run("the chain begins anew", func(t *testing.T) {
		run(t, func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, o amp.FollowOptions, told *[]string) {
			o.Resume = []block.Cursor{{Network: amptest.Network, Number: 600, Hash: amptest.Hash(600, 9)}}
			began, behind := time.Now(), time.Duration(0)
			tell := o.OnWait
			o.OnWait = func(w amp.Wait) {
				tell(w)
				if errors.Is(w.Reason, amp.ErrBehind) && behind == 0 {
					behind = time.Since(began)
				}
			}
			time.AfterFunc(10*time.Minute, func() { chain.Extend(made(4, 600, 9)...) })
			time.AfterFunc(20*time.Minute, func() { chain.Extend(made(601, 601, 9)...) })
			got, err := follow(t.Context(), t, client, o, 2)
			if err != nil || !strings.HasPrefix(got, "rows 1 of 601-601") {
				t.Errorf("%s, %v", got, err)
			}
			if text := strings.Join(*told, "\n"); behind == 0 || behind > 15*time.Second || !strings.Contains(text, "its head is block 3, and block 600 is loaded") {
				t.Errorf("after %v told:\n%s", behind, text)
			}
			if last := (*told)[len(*told)-1]; last != amp.ErrSilence.Error() {
				t.Errorf("told at last: %s", last)
			}
		})
	})
	t.Run("the server has lost its streams", func(t *testing.T) {
		run(t, func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, o amp.FollowOptions, told *[]string) {
			chain.Extend(made(4, 9, 0)...)
			for range 1000 { // whatever is asked
				srv.Next(hung)
			}
			ctx, cancel := timeout(t, time.Hour)
			defer cancel()
			got, err := follow(ctx, t, client, o, 1)
			if !errors.Is(err, errHour) || got != "" || stalled(*told) < 50 {
				t.Errorf("%s, %v, told %d times:\n%s", got, err, stalled(*told), strings.Join(*told, "\n"))
			}
			if last := (*told)[len(*told)-1]; !strings.Contains(last, amp.ErrStalled.Error()) {
				t.Errorf("told at last: %s", last)
			}
		})
	})
	t.Run("the server answers nothing more", func(t *testing.T) {
		run(t, func(t *testing.T, _ *amptest.Chain, srv *amptest.Server, client *amp.Client, o amp.FollowOptions, told *[]string) {
			srv.Next(hung)
			srv.Next(func(amptest.Query) amptest.Fault { return amptest.Delay(make(chan struct{})) })
			ctx, cancel := timeout(t, 10*time.Minute)
			defer cancel()
			_, err := follow(ctx, t, client, o, 1)
			text := strings.Join(*told, "\n")
			if !errors.Is(err, errHour) || !strings.Contains(text, "does not say what its head is: GetFlightInfo: "+amp.ErrNoAnswer.Error()) {
				t.Errorf("%v, told:\n%s", err, text)
			}
			if last := (*told)[len(*told)-1]; last != amp.ErrSilence.Error() {
				t.Errorf("told at last: %s", last)
			}
		})
	})
}

// TestFollowTellsWhenAReasonIsOver: a stream that is open again says so within seconds,
// also when the chain stands still.
func TestFollowTellsWhenAReasonIsOver(t *testing.T) {
	t.Parallel()
	simulated(t, func(t *testing.T, chain *amptest.Chain, srv *amptest.Server, client *amp.Client, _ *pipes) {
		chain.Extend(made(0, 3, 0)...)
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.Refuse(codes.Unavailable, "it starts") })
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		var failed time.Time
		o := amp.FollowOptions{Resume: []block.Cursor{chain.At(3)}, OnWait: func(w amp.Wait) {
			if !errors.Is(w.Reason, amp.ErrSilence) {
				failed = time.Now()
				return
			}
			if took := time.Since(failed); failed.IsZero() || took > 15*time.Second {
				t.Errorf("told of silence after %v", took)
			}
			cancel(errHour)
		}}
		if _, err := follow(ctx, t, client, o, 1); !errors.Is(err, errHour) {
			t.Error(err)
		}
	})
}

// TestFollowEndsWithAConsumerThatPanics: nothing is reported any more. In simulated time a
// goroutine that is left behind fails the test.
func TestFollowEndsWithAConsumerThatPanics(t *testing.T) {
	t.Parallel()
	simulated(t, func(t *testing.T, chain *amptest.Chain, _ *amptest.Server, client *amp.Client, _ *pipes) {
		chain.Extend(made(0, 3, 0)...)
		o := amp.FollowOptions{OnWait: func(w amp.Wait) { t.Errorf("told %+v", w) }}
		err := fault.Catch(func() error {
			for range client.Follow(context.WithoutCancel(t.Context()), query, o) {
				panic("nobody has thought of this")
			}
			return nil
		})
		if fault.Stack(err) == "" {
			t.Error(err)
		}
		time.Sleep(time.Hour)
	})
}
