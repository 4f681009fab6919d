package amp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// cursorsSent returns the cursors in a recording's headers; none if they cannot be read.
func cursorsSent(r amptest.Recording) []block.Cursor {
	var places map[string]struct {
		Number block.Number `json:"number"`
		Hash   block.Hash   `json:"hash"`
	}
	if json.Unmarshal([]byte(strings.Join(r.Header["amp-resume"], "")), &places) != nil {
		return nil
	}
	var all []block.Cursor
	for network, p := range places {
		all = append(all, block.Cursor{Network: network, Number: p.Number, Hash: p.Hash})
	}
	return all
}

// firstRange is where a recorded stream begins.
func firstRange(t *testing.T, r amptest.Recording) (amp.Range, bool) {
	t.Helper()
	messages, err := r.Decode()
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) == 0 || len(messages[0].Ranges) == 0 {
		return amp.Range{}, false
	}
	return messages[0].Ranges[0], true
}

// answersTo runs a test for every recorded answer of a kind, in simulated time.
func answersTo(t *testing.T, kind string, test func(t *testing.T, r amptest.Recording, srv *amptest.Server, client *amp.Client)) {
	t.Helper()
	tested := 0
	for _, r := range amptest.Recordings(t) {
		if !strings.HasPrefix(path.Base(r.Name), kind) {
			continue
		}
		tested++
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			simulated(t, func(t *testing.T, _ *amptest.Chain, srv *amptest.Server, client *amp.Client, _ *pipes) {
				srv.Replay(r)
				test(t, r, srv, client)
			})
		})
	}
	if tested == 0 {
		t.Logf("no answer of the kind %q was recorded: none was tested", kind)
	}
}

// TestRecordedResumes sends the client what a real server answered to every kind of
// cursor.
func TestRecordedResumes(t *testing.T) {
	t.Parallel()
	answersTo(t, "resume-", func(t *testing.T, r amptest.Recording, srv *amptest.Server, client *amp.Client) {
		silence := 0
		o := quick
		o.Network = "anvil"
		o.OnWait = func(w amp.Wait) {
			if errors.Is(w.Reason, amp.ErrSilence) {
				silence++
			}
		}
		// what follows with the cursors, until the first event or an hour of silence
		outcome := func(resume []block.Cursor, beginning *block.Number) (amp.Event, error) {
			o.Resume, o.Beginning = resume, beginning
			if len(resume) > 0 {
				o.Network = resume[0].Network
			}
			ctx, cancel := timeout(t, time.Hour)
			defer cancel()
			for e, err := range client.Follow(ctx, r.SQL, o) {
				if rows, is := e.(amp.Rows); is {
					e = amp.Rows{Range: rows.Range} // the record is borrowed
				}
				return e, err
			}
			return nil, nil
		}
		sent := cursorsSent(r)
		first, streamed := firstRange(t, r)
		zero := block.Number(0)
		switch {
		case r.End.Code != "": // refused
			_, err := outcome(sent, nil)
			if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "failed to convert cursor") {
				t.Errorf("%v (%v)", err, fault.Of(err))
			}
		case !streamed:
			if e, err := outcome(sent, nil); e != nil || !errors.Is(err, errHour) || silence < 50 {
				t.Errorf("%v, %v, told of silence %d times", e, err, silence)
			}
		case len(sent) == 0: // not readable, so ignored; the client's own is readable
			mine := []block.Cursor{{Network: first.Network, Number: 3, Hash: first.Hash}}
			if e, err := outcome(mine, nil); e != nil || !errors.Is(err, amp.ErrDeepReorg) {
				t.Errorf("%v, %v", e, err)
			}
			if e, err := outcome(mine, &zero); e != nil || !errors.Is(err, amp.ErrCursorIgnored) {
				t.Errorf("%v, %v", e, err)
			}
		case first.Numbers.Start > sent[0].Number:
			if e, err := outcome(sent, nil); err != nil || fmt.Sprint(e) != fmt.Sprint(amp.Rows{Range: first}) {
				t.Errorf("%v, %v", e, err)
			}
		default: // a reorg
			if e, err := outcome(sent, nil); e != nil || !errors.Is(err, amp.ErrDeepReorg) {
				t.Errorf("without older cursors: %v, %v", e, err)
			}
			base := block.Cursor{Network: first.Network, Number: first.Numbers.Start - 1, Hash: first.Prev}
			undo, err := outcome(append([]block.Cursor{base}, sent...), nil)
			if u, is := undo.(amp.Undo); err != nil || !is || !u.Reorg || u.From != first.Numbers.Start || u.Base == nil || *u.Base != base {
				t.Errorf("with the block before: %+v, %v", undo, err)
			}
			base.Hash[0]++ // the recorded server has no older block of this chain
			if e, err := outcome(append([]block.Cursor{base}, sent...), nil); e != nil || (!errors.Is(err, amp.ErrHashMismatch) && !errors.Is(err, amp.ErrDeepReorg)) {
				t.Errorf("with another block before: %v, %v", e, err)
			}
		}
	})
}

// TestRecordedProbes asks each probe that was recorded.
func TestRecordedProbes(t *testing.T) {
	t.Parallel()
	answersTo(t, "probe-", func(t *testing.T, r amptest.Recording, srv *amptest.Server, client *amp.Client) {
		sent := cursorsSent(r)[0]
		got, err := client.Probe(t.Context(), r.SQL, sent.Network, sent.Number)
		if r.End.Code != "" {
			if !errors.Is(err, amp.ErrNotStreamable) || fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), r.End.Message) {
				t.Errorf("%v (%v)", err, fault.Of(err))
			}
			return
		}
		first, _ := firstRange(t, r)
		want := block.Cursor{Network: sent.Network, Number: sent.Number - 1, Hash: first.Prev}
		if err != nil || got != want {
			t.Errorf("%v, %v; recorded %v", got, err, want)
		}
		for _, request := range srv.Requests() {
			if request.Method == "GetFlightInfo" && request.Query.Resume() != strings.Join(r.Header["amp-resume"], "") {
				t.Errorf("asked with %s, recorded %s", request.Query.Resume(), r.Header["amp-resume"])
			}
		}
	})
}

// TestRecordedRefusals: what a real server refused as a stream only is distinguished
// from what is wrong with a query.
func TestRecordedRefusals(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	refused, failures := 0, amptest.Failures(t)
	for _, f := range failures {
		if f.End.Code != codes.Internal.String() && f.End.Code != codes.InvalidArgument.String() {
			continue
		}
		srv.On(f.SQL, f.Answer())
		_, err := client.Probe(t.Context(), f.SQL, "anvil", 5)
		about := strings.Contains(f.End.Message, "non-incremental") || strings.Contains(f.End.Message, "multiple networks") ||
			strings.Contains(f.End.Message, "from a multi-table context")
		if errors.Is(err, amp.ErrNotStreamable) != about {
			t.Errorf("%s: %v", f.SQL, err)
		}
		if about {
			refused++
		}
	}
	if refused == 0 && len(failures) > 0 {
		t.Error("no refusal of a stream was recorded")
	}
}

// TestRecordedEmptyTable: the answer of a table without data is no place to resume
// from, and no end.
func TestRecordedEmptyTable(t *testing.T) {
	t.Parallel()
	answersTo(t, "stream-table-without-data", func(t *testing.T, r amptest.Recording, srv *amptest.Server, client *amp.Client) {
		told := 0
		ctx, cancel := timeout(t, time.Hour)
		defer cancel()
		o := amp.FollowOptions{OnWait: func(w amp.Wait) {
			if errors.Is(w.Reason, amp.ErrNoData) {
				told++
			}
		}}
		for e, err := range client.Follow(ctx, r.SQL, o) {
			if e != nil || !errors.Is(err, errHour) {
				t.Errorf("%v, %v", e, err)
			}
		}
		if told < 100 {
			t.Errorf("told %d times in an hour", told)
		}
	})
}
