package amp_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

func TestFetch(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, blocks(t, block.Range{End: 10}, block.Range{Start: 10, End: 12}))
	messages, err := collect(t.Context(), t, client, query)
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) != 3 {
		t.Fatalf("%d messages, want 3", len(messages))
	}
	next := uint64(0)
	for i, m := range messages {
		if last := i == 2; m.Complete != last {
			t.Errorf("message %d: complete is %v", i, m.Complete)
		}
		if want := amptest.Range(block.Range{End: 100}, 0); !slices.Equal(m.Ranges, []amp.Range{want}) {
			t.Errorf("message %d: ranges %+v, want %+v", i, m.Ranges, want)
		}
		numbers := m.Record.Column(0).(*array.Uint64)
		hashes := m.Record.Column(1).(*array.FixedSizeBinary)
		for row := range numbers.Len() {
			hash := amptest.Hash(block.Number(next), 0)
			if numbers.Value(row) != next || block.Hash(hashes.Value(row)) != hash {
				t.Fatalf("message %d, row %d: %d %x, want %d %v", i, row, numbers.Value(row), hashes.Value(row), next, hash)
			}
			next++
		}
	}
	if next != 12 {
		t.Errorf("%d rows, want 12", next)
	}
}

func TestFetchWithoutRowsHasTheSchema(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, blocks(t))
	messages, err := collect(t.Context(), t, client, query)
	if err != nil || len(messages) != 2 {
		t.Fatalf("%d messages, %v; want 2", len(messages), err)
	}
	for _, m := range messages {
		if m.Record.NumRows() != 0 || !m.Record.Schema().Equal(amptest.Schema) {
			t.Errorf("%d rows of %v", m.Record.NumRows(), m.Record.Schema())
		}
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, blocks(t))
	schema, err := client.Info(t.Context(), query)
	if err != nil || !schema.Equal(amptest.Schema) {
		t.Errorf("schema %v, %v", schema, err)
	}
	for _, request := range srv.Requests() {
		if request.Method != "GetFlightInfo" {
			t.Errorf("Info called %s", request.Method)
		}
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	full := blocks(t, block.Range{End: 10})
	full.Hold = true // Head must not wait for the end
	srv.On(query, full)
	ranges, err := client.Head(t.Context(), query)
	if want := amptest.Range(block.Range{End: 100}, 0); err != nil || !slices.Equal(ranges, []amp.Range{want}) {
		t.Errorf("head %+v, %v; want %+v", ranges, err, want)
	}
	srv.On(query, amptest.Batch(amptest.Schema, nil))
	if ranges, err := client.Head(t.Context(), query); err != nil || len(ranges) != 0 {
		t.Errorf("head of a table without data is %+v, %v", ranges, err)
	}
	if ranges, err := client.Head(t.Context(), "SELECT nonsense"); err == nil {
		t.Errorf("head of a refused query is %+v", ranges)
	}
}

func TestLeavingTheLoopEndsTheQuery(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	answer := blocks(t, block.Range{End: 10})
	answer.Hold = true
	srv.On(query, answer)
	for _, err := range client.Fetch(t.Context(), query) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	requests := srv.Requests()
	<-requests[len(requests)-1].Done
}

func TestFetchAsksAnewEachTime(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, blocks(t, block.Range{End: 1}))
	fetch := client.Fetch(t.Context(), query)
	for range 2 {
		for _, err := range fetch {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(srv.Requests()); n != 4 {
		t.Errorf("%d calls for two loops, want 4", n)
	}
}

// TestManyAtOnce fetches different ranges over the one connection.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	for _, recycle := range []bool{false, true} {
		t.Run(fmt.Sprintf("recycle=%v", recycle), func(t *testing.T) {
			t.Parallel()
			manyAtOnce(t, recycle)
		})
	}
}

func manyAtOnce(t *testing.T, recycle bool) {
	t.Helper()
	answer := blocks(t, block.Range{End: 1000}, block.Range{Start: 1000, End: 2000}, block.Range{Start: 2000, End: 2100})
	srv := amptest.Start(t, func(amptest.Query) amptest.Answer { return answer })
	client := open(t, amp.Config{URL: srv.URL(), Recycle: recycle})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				next := block.Number(0)
				for m, err := range client.Fetch(t.Context(), query) {
					if err != nil {
						t.Error(err)
						return
					}
					hashes := m.Record.Column(1).(*array.FixedSizeBinary)
					for row := range hashes.Len() {
						if block.Hash(hashes.Value(row)) != amptest.Hash(next, 0) {
							t.Errorf("block %d has a foreign hash", next)
							return
						}
						next++
					}
				}
				if next != 2100 {
					t.Errorf("%d rows, want 2100", next)
				}
			}
		})
	}
	wg.Wait()
}

func TestAnEndWithoutTheClosingMessageIsIncomplete(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, blocks(t, block.Range{End: 1}, block.Range{Start: 1, End: 2}))
	for n := range 4 { // of schema, two records and the closing message
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.EndAfter(n) })
		messages, err := collect(t.Context(), t, client, query)
		if !errors.Is(err, amp.ErrIncomplete) || fault.Of(err) != fault.ClassAgain {
			t.Errorf("end after %d messages: %v (%v)", n, err, fault.Of(err))
		}
		if want := max(n-1, 0); len(messages) != want {
			t.Errorf("end after %d messages: %d yielded, want %d", n, len(messages), want)
		}
	}
}

func TestWhatNoAmpServerSends(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	after := blocks(t)
	after.Parts = append(after.Parts, after.Parts[0])
	for name, answer := range map[string]amptest.Answer{
		"message after the closing one": after,
		"unreadable metadata":           {Schema: amptest.Schema, Parts: []amptest.Part{{Text: `{"ranges":{}}`}}},
	} {
		srv.On(query, answer)
		_, err := collect(t.Context(), t, client, query)
		if !errors.Is(err, amp.ErrProtocol) || fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%s: %v (%v)", name, err, fault.Of(err))
		}
	}
	// arrow-go does not give back the memory of a message that it panics over.
	client, err := amp.Open(t.Context(), amp.Config{URL: srv.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	srv.On(query, blocks(t, block.Range{End: 1}))
	for n := range 2 { // before and after the schema
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.OversizeAfter(n, 100) })
		_, err := collect(t.Context(), t, client, query)
		if !errors.Is(err, amp.ErrProtocol) || fault.Of(err) != fault.ClassPermanent {
			t.Errorf("no Arrow message after %d: %v (%v)", n, err, fault.Of(err))
		}
	}
}

func TestSchemaThatMoves(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	field := func(name string, t arrow.DataType) *arrow.Schema {
		return arrow.NewSchema([]arrow.Field{{Name: name, Type: t}}, nil)
	}
	list := func(name string, nullable bool, t arrow.DataType) arrow.DataType {
		return arrow.ListOfField(arrow.Field{Name: "item", Nullable: nullable, Type: arrow.StructOf(
			arrow.Field{Name: name, Type: t, Nullable: nullable})})
	}
	utc := &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "+00:00"}
	planned := field("a", list("b", false, utc))
	for name, c := range map[string]struct {
		planned, moved *arrow.Schema
		same           bool
	}{
		"nothing":            {planned, planned, true},
		"nullability":        {planned, field("a", list("b", true, utc)), true},
		"name":               {planned, field("A", list("b", false, utc)), false},
		"name inside":        {planned, field("a", list("c", false, utc)), false},
		"type inside":        {planned, field("a", list("b", false, &arrow.TimestampType{Unit: arrow.Nanosecond})), false},
		"kind":               {planned, field("a", utc), false},
		"column more":        {field("a", utc), arrow.NewSchema([]arrow.Field{{Name: "a", Type: utc}, {Name: "b", Type: utc}}, nil), false},
		"length of a list":   {field("a", arrow.FixedSizeListOf(2, utc)), field("a", arrow.FixedSizeListOf(3, utc)), false},
		"width of a decimal": {field("a", &arrow.Decimal128Type{Precision: 38}), field("a", &arrow.Decimal128Type{Precision: 37}), false},
	} {
		srv.On(query, amptest.Answer{Schema: c.planned, Moved: c.moved, Parts: amptest.Batch(c.moved, nil).Parts})
		_, err := collect(t.Context(), t, client, query)
		if (c.same && err != nil) || (!c.same && (!errors.Is(err, amp.ErrSchemaChanged) || fault.Of(err) != fault.ClassAgain)) {
			t.Errorf("%s changed: %v (%v)", name, err, fault.Of(err))
		}
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	srv.On(query, blocks(t, block.Range{End: 1}, block.Range{Start: 1, End: 2}))
	// The cause may well be another worker's permanent error.
	cause := fault.Permanent(errors.New("another worker failed"))
	check := func(when string, err error) {
		t.Helper()
		if !errors.Is(err, cause) || fault.Of(err) == fault.ClassPermanent {
			t.Errorf("cancelled %s: %v (%v)", when, err, fault.Of(err))
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	_, err := client.Info(ctx, query)
	check("before Info", err)

	ctx, cancel = context.WithCancelCause(t.Context())
	srv.Next(func(amptest.Query) amptest.Fault {
		cancel(cause)
		return amptest.Delay(make(chan struct{}))
	})
	_, err = client.Info(ctx, query)
	check("during Info", err)

	for n := range 4 {
		ctx, cancel := context.WithCancelCause(t.Context())
		silent := make(chan struct{})
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.HoldAfter(n, nil).Notify(silent) })
		go func() {
			<-silent
			cancel(cause)
		}()
		_, err := collect(ctx, t, client, query)
		check(fmt.Sprintf("after %d messages", n), err)
	}
}

// The memory of a record that was released is free before the next message is asked for.
func TestRelease(t *testing.T) {
	t.Parallel()
	answer := blocks(t, block.Range{End: 1000}, block.Range{Start: 1000, End: 2000})
	srv := amptest.Start(t, func(amptest.Query) amptest.Answer { return answer })
	used := memory.NewCheckedAllocator(memory.DefaultAllocator)
	client := open(t, amp.Config{URL: srv.URL(), Allocator: used})
	rows := int64(0)
	for m, err := range client.Fetch(t.Context(), query) {
		if err != nil {
			t.Fatal(err)
		}
		rows += m.Record.NumRows()
		if m.Record.NumRows() > 0 && used.CurrentAlloc() == 0 {
			t.Error("the record is not in the allocator's memory")
		}
		m.Release()
		if n := used.CurrentAlloc(); n != 0 {
			t.Errorf("%d bytes after the release", n)
		}
	}
	if rows != 2000 {
		t.Errorf("%d rows", rows)
	}
	amp.Message{}.Release() // one that is not of a client has nothing to release
}
