package amp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

// told writes an event as "rows 3 of 0-10", "watermark 0-10" or "undo 11 after 10".
func told(e amp.Event) string {
	numbers := func(r amp.Range) string { return fmt.Sprintf("%d-%d", r.Numbers.Start, r.Numbers.Last()) }
	switch e := e.(type) {
	case amp.Rows:
		return fmt.Sprintf("rows %d of %s", e.Record.NumRows(), numbers(e.Range))
	case amp.Watermark:
		return "watermark " + numbers(e.Range)
	case amp.Undo:
		kind, base := "undo", "nothing"
		if e.Reorg {
			kind = "reorg"
		}
		if e.Base != nil {
			base = fmt.Sprint(e.Base.Number)
		}
		return fmt.Sprintf("%s %d after %s", kind, e.From, base)
	}
	return fmt.Sprintf("%T", e)
}

// follow follows until the given number of events has come, or an error.
func follow(ctx context.Context, t *testing.T, client *amp.Client, o amp.FollowOptions, events int) (string, error) {
	t.Helper()
	var all []string
	for e, err := range client.Follow(ctx, query, o) {
		if err != nil {
			return strings.Join(all, ", "), err
		}
		if all = append(all, told(e)); len(all) == events {
			break
		}
	}
	return strings.Join(all, ", "), nil
}

// microbatch is what a stream sends for one range: rows for all of its blocks.
func microbatch(t *testing.T, first, last block.Number, fork byte) []amptest.Part {
	t.Helper()
	r := block.Closed(first, last)
	record := amptest.Blocks(r, fork)
	t.Cleanup(record.Release)
	return amptest.Microbatch(amptest.Range(r, fork), record)
}

// stream is an answer of microbatches that stays open.
func stream(microbatches ...[]amptest.Part) amptest.Answer {
	a := amptest.Answer{Schema: amptest.Schema, Hold: true}
	for _, m := range microbatches {
		a.Parts = append(a.Parts, m...)
	}
	return a
}

func TestFollow(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, stream(microbatch(t, 0, 9, 0), microbatch(t, 10, 14, 0), microbatch(t, 12, 16, 1)))
	got, err := follow(t.Context(), t, client, amp.FollowOptions{}, 7)
	want := "rows 10 of 0-9, watermark 0-9, rows 5 of 10-14, watermark 10-14, reorg 12 after 11, rows 5 of 12-16, watermark 12-16"
	if err != nil || got != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
	for _, request := range srv.Requests() {
		<-request.Done // leaving the loop ends the stream
		if request.Method == "GetFlightInfo" && (!request.Query.Stream() || request.Query.Resume() != "") {
			t.Errorf("asked with %v", request.Query.Header)
		}
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, stream(microbatch(t, 0, 9, 0)))
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	defer cancel(nil)
	var last error
	for e, err := range client.Follow(ctx, query, amp.FollowOptions{}) {
		last = err
		if _, complete := e.(amp.Watermark); complete {
			cancel(cause)
		}
	}
	if !errors.Is(last, cause) {
		t.Errorf("ended with %v", last)
	}
}
