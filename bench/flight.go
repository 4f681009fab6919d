package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
)

// flightFloor is what fails: both sides take as much of the processor as there is.
const flightFloor = 0.48

// measureFlight compares reading into the log, every entry synced to the disk, with reading
// the same ranges by as many streams and dropping the rows: by the client of the Arrow
// library, and by that of ampipe.
func measureFlight(ctx context.Context, e *env, r *report) error {
	p, err := e.pipeline(e.scale.live, config.Append)
	if err != nil {
		return err
	}
	_, checked, err := e.table(ctx, p)
	if err != nil {
		return err
	}
	size := plan.Size(history(e.scale.live).Len(), workers, rowsPerBlock)
	extract := side{"planner, extractor and log", func(ctx context.Context) (_ sample, err error) {
		n, err := e.startNATS(ctx, "", p)
		if err != nil {
			return sample{}, err
		}
		defer func() { err = errors.Join(err, n.close()) }()
		defer e.profiled("flight")()
		took, err := n.fill(ctx, e.source, e.planner(n, p), checked, size)
		return sample{e.scale.live, took}, err
	}}
	ranges := plan.Cut(history(e.scale.live), size)
	bare := side{fmt.Sprintf("bare Flight read, %d streams", workers), func(ctx context.Context) (sample, error) {
		return e.readBare(ctx, checked, ranges)
	}}
	own := side{fmt.Sprintf("ampipe's reader alone, %d streams", workers), func(ctx context.Context) (sample, error) {
		return e.readSource(ctx, checked, ranges)
	}}
	what := "Flight to log, sync always"
	c, err := e.compare(ctx, what, 0.65, extract, bare)
	return errors.Join(r.addKnown(flightFloor, c, err), r.add(e.compare(ctx, what, 0, extract, own)))
}

// planner plans a pipeline on a NATS server.
func (e *env) planner(n *natsServer, p *config.Pipeline) *plan.Planner {
	return &plan.Planner{Source: e.source, State: n.state, Tasks: n.tasks, Log: n.log, Config: p, Logger: zerolog.Nop()}
}

// readSource reads ranges as ampipe does, and drops the rows.
func (e *env) readSource(ctx context.Context, checked *plan.Checked, ranges []block.Range) (sample, error) {
	return readAll(ctx, ranges, func(ctx context.Context, blocks block.Range) (rows int64, err error) {
		for msg, err := range e.source.Fetch(ctx, checked.Query.Wrap(checked.BlockColumn(), blocks)) {
			if err != nil {
				return 0, err
			}
			rows += msg.Record.NumRows()
		}
		return rows, nil
	})
}

// readBare reads ranges as a program does that uses the Arrow library's client as it is, and
// drops the rows.
func (e *env) readBare(ctx context.Context, checked *plan.Checked, ranges []block.Range) (s sample, err error) {
	client, err := flight.NewClientWithMiddlewareCtx(ctx, strings.TrimPrefix(e.amp, "grpc://"), nil, nil,
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return readAll(ctx, ranges, func(ctx context.Context, blocks block.Range) (rows int64, err error) {
		statement, err := anypb.New(&pb.CommandStatementQuery{Query: checked.Query.Wrap(checked.BlockColumn(), blocks)})
		if err != nil {
			return 0, err
		}
		command, err := proto.Marshal(statement)
		if err != nil {
			return 0, err
		}
		info, err := client.GetFlightInfo(ctx, &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: command})
		if err != nil {
			return 0, err
		}
		for _, endpoint := range info.Endpoint {
			n, err := countRows(ctx, client, endpoint.Ticket)
			if err != nil {
				return 0, err
			}
			rows += n
		}
		return rows, nil
	})
}

// countRows reads all rows of a ticket.
func countRows(ctx context.Context, client flight.Client, ticket *flight.Ticket) (rows int64, err error) {
	stream, err := client.DoGet(ctx, ticket)
	if err != nil {
		return 0, err
	}
	reader, err := flight.NewRecordReader(stream)
	if err != nil {
		return 0, err
	}
	defer reader.Release()
	for reader.Next() {
		rows += reader.RecordBatch().NumRows()
	}
	return rows, reader.Err()
}

// readAll reads ranges by a function that returns how many rows each has, by as many at once
// as there are workers.
func readAll(ctx context.Context, ranges []block.Range, read func(context.Context, block.Range) (int64, error)) (sample, error) {
	var rows atomic.Int64
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for _, blocks := range ranges {
		g.Go(func() error {
			n, err := read(ctx, blocks)
			rows.Add(n)
			if err != nil {
				return fmt.Errorf("read blocks %v: %w", blocks, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return sample{}, err
	}
	return sample{int(rows.Load()), time.Since(began)}, nil
}
