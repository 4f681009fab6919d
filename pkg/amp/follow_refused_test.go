package amp_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// TestFollowGivesUp after so many attempts that brought no watermark, but never
// while the server is merely away.
func TestFollowGivesUp(t *testing.T) {
	t.Parallel()
	chain, srv, client := chained(t)
	chain.Extend(made(0, 9, 0)...)
	o := quick
	o.Backoff.Attempts = 3
	for range 3 {
		srv.Next(func(amptest.Query) amptest.Fault {
			return amptest.FailAfter(4, codes.Internal, "streaming query execution error | Caused by: out of luck")
		})
	}
	var last error
	undone := 0
	for e, err := range client.Follow(t.Context(), query, o) {
		if _, undo := e.(amp.Undo); undo {
			undone++
		}
		last = err
	}
	if fault.Of(last) != fault.ClassPermanent || !strings.Contains(fmt.Sprint(last), "3 attempts") || undone != 3 {
		t.Errorf("%d times undone, then %v", undone, last)
	}

	for range 10 {
		srv.Next(func(amptest.Query) amptest.Fault { return amptest.FailAfter(4, codes.Unavailable, "away") })
	}
	table := newTable()
	followTo(t, client, query, o, table, chain.Head())
}

func TestFollowPermanentErrors(t *testing.T) {
	t.Parallel()
	_, srv, client := chained(t)
	for _, injected := range []amptest.Fault{
		amptest.Refuse(codes.InvalidArgument, "invalid query: SQL parse error"),
		amptest.FailAfter(0, codes.Internal, "streaming query execution error | Caused by: failed to convert cursor -> expected cursor for network 'a'"),
		amptest.FailAfter(0, codes.InvalidArgument, "invalid query: non-incremental queries are not supported for streaming, query contains non-incremental operation: Limit"),
	} {
		srv.Next(func(amptest.Query) amptest.Fault { return injected.Of(stream(microbatch(t, 0, 3, 0))) })
		got, err := follow(t.Context(), t, client, quick, 1)
		if got != "" || fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%s, %v (%v)", got, err, fault.Of(err))
		}
		if refused := strings.Contains(fmt.Sprint(err), "operation: Limit"); refused != errors.Is(err, amp.ErrNotStreamable) {
			t.Errorf("%v: not streamable is %v", err, !refused)
		}
	}
}

func TestFollowTwoNetworksAreRefused(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	one, two := amptest.Range(block.Closed(0, 9), 0), amptest.Range(block.Closed(0, 9), 0)
	two.Network = "mainnet"
	srv.On(query, amptest.Answer{Schema: amptest.Schema, Hold: true, Parts: []amptest.Part{{Metadata: amp.Metadata{Ranges: []amp.Range{one, two}}}}})
	_, err := follow(t.Context(), t, client, quick, 1)
	var broken *amp.ViolationError
	if !errors.As(err, &broken) || !errors.Is(err, amp.ErrNetworks) {
		t.Errorf("%v", err)
	}

	srv.On(query, stream(microbatch(t, 0, 3, 0)))
	_, err = follow(t.Context(), t, client, amp.FollowOptions{Network: "mainnet"}, 1)
	if !errors.Is(err, amp.ErrOtherNetwork) {
		t.Errorf("%v", err)
	}
	again := amptest.Part{Text: `{"ranges":[{"network":"a"},{"network":"a"}],"ranges_complete":false}`}
	srv.On(query, amptest.Answer{Schema: amptest.Schema, Parts: []amptest.Part{again}})
	if _, err := follow(t.Context(), t, client, quick, 1); !errors.Is(err, amp.ErrProtocol) {
		t.Errorf("%v", err)
	}
}

// TestFollowColumnsThatChange between two connections end the stream: its consumer
// was made for the first.
func TestFollowColumnsThatChange(t *testing.T) {
	t.Parallel()
	_, srv, client := chained(t)
	srv.On(query, stream(microbatch(t, 0, 3, 0)))
	srv.Next(func(amptest.Query) amptest.Fault {
		return amptest.EndAfter(4).Of(stream(microbatch(t, 0, 3, 0)))
	})
	other := arrow.NewSchema([]arrow.Field{{Name: "other", Type: arrow.PrimitiveTypes.Uint64}}, nil)
	srv.Next(func(amptest.Query) amptest.Fault {
		return amptest.Instead(amptest.Answer{Schema: other, Hold: true, Parts: amptest.Microbatch(amptest.Range(block.Closed(4, 5), 0))})
	})
	_, err := follow(t.Context(), t, client, quick, 3)
	if !errors.Is(err, amp.ErrSchemaChanged) || fault.Of(err) != fault.ClassPermanent {
		t.Errorf("%v (%v)", err, fault.Of(err))
	}
}

// TestFollowLargeMessage: a message above the 4 MiB that grpc accepts by itself.
func TestFollowLargeMessage(t *testing.T) {
	t.Parallel()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64}, {Name: "data", Type: arrow.BinaryTypes.Binary},
	}, nil)
	chain := amptest.NewChain(amptest.Network, schema)
	build := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	build.Field(0).(*array.Uint64Builder).Append(0)
	build.Field(1).(*array.BinaryBuilder).Append(make([]byte, 9<<20))
	chain.Extend(amptest.Block{Hash: amptest.Hash(0, 0), Rows: []arrow.RecordBatch{build.NewRecordBatch()}})
	srv := amptest.Start(t, chain.Answer)
	client := open(t, amp.Config{URL: srv.URL()})
	if got, err := follow(t.Context(), t, client, amp.FollowOptions{}, 2); err != nil || got != "rows 1 of 0-0, watermark 0-0" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestFollowTokenExpires between GetFlightInfo and DoGet: without a file to renew it
// from, that is for people to mend.
func TestFollowTokenExpires(t *testing.T) {
	t.Parallel()
	chain, srv, _ := chained(t)
	chain.Extend(made(0, 3, 0)...)
	client := open(t, amp.Config{URL: srv.URL(), Token: "secret-x"})
	srv.Authorize(func(method, _ string) bool { return method == "GetFlightInfo" })
	_, err := follow(t.Context(), t, client, quick, 1)
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(fmt.Sprint(err), "still valid") {
		t.Errorf("%v (%v)", err, fault.Of(err))
	}
	checkNoSecret(t, err)
}

func TestFollowRefusesCursorsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	chain, srv, client := chained(t)
	chain.Extend(made(0, 9, 0)...)
	o := amp.FollowOptions{Network: "mainnet", Resume: []block.Cursor{chain.At(5)}}
	if _, err := follow(t.Context(), t, client, o, 1); fault.Of(err) != fault.ClassPermanent || len(srv.Requests()) > 0 {
		t.Errorf("%v, %d calls", err, len(srv.Requests()))
	}
}
