package server_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/ampipe/ampipe/devserver/chain"
	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	grpcmeta "google.golang.org/grpc/metadata"
)

// live is a server over a chain that a test grows and forks.
type live struct {
	*client
	chain *chain.Chain
}

const blocks = "SELECT * FROM ds.blocks"

// liveServer serves a chain from genesis of so many blocks as dataset ds.
func liveServer(t testing.TB, length uint64, change func(*server.Options)) live {
	t.Helper()
	return liveFrom(t, 0, length, change)
}

func liveFrom(t testing.TB, first block.Number, length uint64, change func(*server.Options)) live {
	t.Helper()
	return growing(t, first, length, chain.Growth{}, change)
}

// growing serves a chain that lives by itself.
func growing(t testing.TB, first block.Number, length uint64, growth chain.Growth, change func(*server.Options)) live {
	t.Helper()
	config := chain.DefaultConfig()
	config.Start, config.Blocks, config.Logs, config.Transactions = first, length, 10, 2
	c, err := chain.New(config)
	if err != nil {
		t.Fatal(err)
	}
	m, err := chain.NewMiner(c, growth)
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Catalog: new(table.Catalog), Miners: []*chain.Miner{m}}
	if err := o.Catalog.Add(chain.NewDataset(c, table.Ref{Namespace: "_", Name: "ds", Revision: "latest"})); err != nil {
		t.Fatal(err)
	}
	change(&o)
	return live{start(t, o), c}
}

// fork replaces blocks of the chain and appends others.
func (l live) fork(t testing.TB, depth, blocks uint64) {
	t.Helper()
	if err := l.chain.Fork(depth, blocks); err != nil {
		t.Fatal(err)
	}
}

// at returns a block as a cursor has it.
func (l live) at(n block.Number) string { return cursor(n, l.chain.View().Header(n).Hash) }

func cursor(n block.Number, hash block.Hash) string {
	return fmt.Sprintf(`{"anvil":{"number":%d,"hash":"%s"}}`, n, hash)
}

// tail is a streaming query as a client sees it.
type tail struct {
	stream pb.FlightService_DoGetClient
	schema *flight.FlightData // nil before it has come
	stop   context.CancelFunc
}

// follow asks for a query as a stream; an empty resume is no cursor.
func (c *client) follow(t testing.TB, sql, resume string) *tail {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	header := grpcmeta.AppendToOutgoingContext(ctx, "amp-stream", "true", "amp-resume", resume)
	info, err := c.flight.GetFlightInfo(header, descriptor(sql))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := c.flight.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil { // sent when the server listens to the chain
		t.Fatal(err)
	}
	return &tail{stream: stream, stop: stop}
}

// microbatch is what came of one.
type microbatch struct {
	of      amp.Range
	rows    []int // of each message but the closing one
	batches []arrow.RecordBatch
}

// numbers returns the block numbers of the rows, which the first column has.
func (m microbatch) numbers() []uint64 {
	var all []uint64
	for _, b := range m.batches {
		all = append(all, b.Column(0).(*array.Uint64).Uint64Values()...)
	}
	return all
}

// String returns the range as the wire has it.
func (m microbatch) String() string {
	return fmt.Sprintf("%d..%d", m.of.Numbers.Start, m.of.Numbers.Last())
}

// message waits for a batch and its metadata.
func (f *tail) message(t testing.TB) (arrow.RecordBatch, amp.Metadata, error) {
	t.Helper()
	if f.schema == nil {
		first, err := f.stream.Recv()
		if err != nil {
			return nil, amp.Metadata{}, err
		}
		f.schema = first
	}
	next, err := f.stream.Recv()
	if err != nil {
		return nil, amp.Metadata{}, err
	}
	r, err := flight.NewRecordReader(&messages{data: []*flight.FlightData{f.schema, next}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() {
		t.Fatalf("a message is no batch: %v", r.Err())
	}
	m, err := amp.ParseMetadata(next.AppMetadata)
	if err != nil {
		t.Fatal(err)
	}
	batch := r.RecordBatch()
	batch.Retain()
	return batch, m, nil
}

// next waits for a whole microbatch and checks what holds for every one.
func (f *tail) next(t testing.TB) (m microbatch, err error) {
	t.Helper()
	for {
		batch, metadata, err := f.message(t)
		if err != nil {
			return m, err
		}
		if len(metadata.Ranges) != 1 {
			t.Fatalf("a message of %d ranges", len(metadata.Ranges))
		}
		if m.rows != nil && metadata.Ranges[0] != m.of {
			t.Fatalf("a message of %v inside %v", metadata.Ranges[0], m.of)
		}
		m.of = metadata.Ranges[0]
		if metadata.Complete {
			if batch.NumRows() > 0 || len(m.rows) == 0 {
				t.Errorf("%v ends with %d rows after %d messages", m, batch.NumRows(), len(m.rows))
			}
			return m, nil
		}
		if len(m.rows) == 0 && batch.NumRows() > 0 {
			t.Errorf("%v does not begin with an empty batch", m)
		}
		m.rows = append(m.rows, int(batch.NumRows()))
		m.batches = append(m.batches, batch)
	}
}

// expect waits for a microbatch of certain blocks, which must link to the chain
// as it is.
func (l live) expect(t testing.TB, f *tail, first, last block.Number) microbatch {
	t.Helper()
	m, err := f.next(t)
	if err != nil {
		t.Fatalf("expected %d..%d: %v", first, last, err)
	}
	if m.of.Numbers != block.Closed(first, last) {
		t.Fatalf("%v came instead of %d..%d", m, first, last)
	}
	now := l.chain.View()
	head := now.Header(last)
	var parent block.Hash
	if first > 0 {
		parent = now.Header(first - 1).Hash
	}
	if m.of.Hash != head.Hash || m.of.Prev != parent || !m.of.HasPrev || !m.of.Timestamp.Equal(head.Time) || m.of.Network != "anvil" {
		t.Errorf("%v is announced as %+v", m, m.of)
	}
	return m
}
