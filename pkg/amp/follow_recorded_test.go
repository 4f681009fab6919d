package amp_test

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

// followed is a recorded stream and the table that it led to.
type followed struct {
	amptest.Recording
	final map[block.Number][]string
}

// recordedStreams finds the stream of every table that was followed to its end.
func recordedStreams(t *testing.T) (all []followed) {
	t.Helper()
	for _, f := range amptest.FollowedTables(t) {
		all = append(all, followed{f.Stream, rowsOf(t, f.Final)})
	}
	return all
}

// rowsOf reads a table by another way than the client's.
func rowsOf(t *testing.T, r amptest.Recording) map[block.Number][]string {
	t.Helper()
	messages, err := r.Decode()
	if err != nil {
		t.Fatal(err)
	}
	all := map[block.Number][]string{}
	for _, m := range messages {
		err := amptest.EachBlock(m.Record, func(n block.Number, rows arrow.RecordBatch) error {
			for row := range int(rows.NumRows()) {
				all[n] = append(all[n], rowText(rows, row))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// followTo follows into a table until it has reached a block.
func followTo(t *testing.T, client *amp.Client, sql string, o amp.FollowOptions, table *table, end block.Cursor) {
	t.Helper()
	for e, err := range client.Follow(t.Context(), sql, o) {
		if err == nil {
			err = table.apply(e)
		}
		if err != nil {
			t.Fatal(err)
		}
		if table.head() == end && !table.unfinished {
			return
		}
	}
}

// TestRecordedFollow replays every recorded stream byte for byte: the events must
// give the canonical table. A client may ask again, with a cursor, and is answered
// from what the recording has.
func TestRecordedFollow(t *testing.T) {
	t.Parallel()
	for _, r := range recordedStreams(t) {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			srv, client := setup(t)
			history, table := r.History(t), newTable()
			srv.ReplayHistory(r.Recording, history)
			followTo(t, client, r.SQL, amp.FollowOptions{}, table, history.End())
			table.checkRows(t, r.final)
			if len(table.cursors) == 0 || (table.reorgs == 0 && history.Reorgs() > 0) {
				t.Errorf("%d cursors, %d reorgs of %d recorded", len(table.cursors), table.reorgs, history.Reorgs())
			}
			calls := 0
			for _, request := range srv.Requests() {
				if request.Method == "GetFlightInfo" {
					calls++
					if calls > 1 && request.Query.Resume() == "" {
						t.Errorf("call %d has no cursor", calls)
					}
				}
			}
			t.Logf("%d blocks with rows, %d reorgs, %d calls", len(table.rows), table.reorgs, calls)
		})
	}
}

// TestReplayOfAReorgAtTheLastBlock holds the replaying server to its part: a client
// that has nothing by which to judge a reorg of the last block asks again, further
// back, and is answered from the recording's history.
func TestReplayOfAReorgAtTheLastBlock(t *testing.T) {
	t.Parallel()
	var parts []amptest.Part
	final := map[block.Number][]string{}
	for _, one := range []struct {
		from, to block.Number
		fork     byte
		on       byte // fork of the block before
	}{{0, 4, 0, 0}, {5, 9, 0, 0}, {9, 11, 1, 0}, {11, 12, 2, 1}, {12, 13, 3, 2}} {
		described := amptest.Range(block.Closed(one.from, one.to), one.fork)
		if one.from > 0 {
			described.Prev = amptest.Hash(one.from-1, one.on)
		}
		rows := amptest.Blocks(described.Numbers, one.fork)
		parts = append(parts, amptest.Microbatch(described, rows)...)
		for n := range final {
			if n >= one.from {
				delete(final, n)
			}
		}
		for row := range int(rows.NumRows()) {
			n := one.from + block.Number(row)
			final[n] = []string{rowText(rows, row)}
		}
	}
	r, err := amptest.NewRecording("made/follow-blocks", query, amptest.Schema, parts)
	if err != nil {
		t.Fatal(err)
	}
	srv, client := setup(t)
	history, table := r.History(t), newTable()
	srv.ReplayHistory(r, history)
	followTo(t, client, query, quick, table, history.End())
	table.checkRows(t, final)
	resumed := 0
	for _, request := range srv.Requests() {
		if request.Method == "GetFlightInfo" && request.Query.Resume() != "" {
			resumed++
		}
	}
	if resumed == 0 || table.reorgs == 0 {
		t.Errorf("resumed %d times, %d reorgs", resumed, table.reorgs)
	}
}

// TestRecordedFollowCutEverywhere cuts every recorded stream after each of its
// messages, and has a chain that knows what the recorded server knew answer the
// resumed stream: at once, or after it went on for a while and forgot what it
// orphaned.
func TestRecordedFollowCutEverywhere(t *testing.T) {
	t.Parallel()
	for _, r := range recordedStreams(t) {
		for _, after := range []struct {
			missed  int
			forgets bool
		}{{0, false}, {3, true}} {
			t.Run(fmt.Sprintf("%s/missed=%d", r.Name, after.missed), func(t *testing.T) {
				t.Parallel()
				history := r.History(t)
				for n := range len(r.Messages) + 1 {
					cutAfter(t, r, history.Again(), n, after.missed, after.forgets)
				}
			})
		}
	}
}

func cutAfter(t *testing.T, r followed, history *amptest.History, n, missed int, forgets bool) {
	t.Helper()
	history.OnIdle(func() { history.Step() })
	srv := amptest.Start(t, history.Answer)
	defer srv.Stop()
	client := open(t, amp.Config{URL: srv.URL()})
	srv.Next(func(amptest.Query) amptest.Fault {
		history.StepTo(history.StepOf(n-1) + missed)
		if forgets {
			history.Forget()
		}
		return amptest.CutAfter(n).Of(r.Answer())
	})
	table := newTable()
	followTo(t, client, r.SQL, quick, table, history.End())
	table.checkRows(t, r.final)
	if t.Failed() {
		t.Fatalf("cut after %d messages", n)
	}
}

// TestRecordedFollowRestarts stops the consumer after one event, two, three and so
// on, and starts it again with what it remembers, while the chain continues as it did.
func TestRecordedFollowRestarts(t *testing.T) {
	t.Parallel()
	for _, r := range recordedStreams(t) {
		for _, stride := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s/stride=%d", r.Name, stride), func(t *testing.T) {
				t.Parallel()
				history := r.History(t)
				srv := amptest.Start(t, history.Answer)
				client := open(t, amp.Config{URL: srv.URL()})
				table := newTable()
				for restarts := 1; table.head() != history.End(); restarts++ {
					history.StepTo(restarts * stride)
					followSome(t, client, r.SQL, table, history.Head(), 1+restarts%5+restarts/3)
				}
				table.checkRows(t, r.final)
			})
		}
	}
}

// followSome starts a consumer anew and stops it after a number of events, or at
// the head.
func followSome(t *testing.T, client *amp.Client, sql string, table *table, head block.Cursor, events int) {
	t.Helper()
	for e, err := range client.Follow(t.Context(), sql, table.restart()) {
		if err == nil {
			err = table.apply(e)
		}
		if err != nil {
			t.Fatal(err)
		}
		events--
		if events == 0 || table.head() == head {
			return
		}
	}
}
