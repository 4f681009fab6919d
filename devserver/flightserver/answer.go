package flightserver

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/ampipe/ampipe/devserver/sqlengine"
	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/protobuf/proto"
)

// answer is a DoGet on its way. It belongs to the goroutine of the call.
type answer struct {
	stream flight.FlightService_DoGetServer
	faults *faults.Stream
	plan   *sqlengine.Plan
	conn   *conn // nil if the connection is not one of ours
	before int64 // conn.total() when the call began
	sent   int64 // what conn.total() grows by once everything that was put is written

	encoder  encoder
	messages int
	rows     int64
}

// batch answers a batch query (AP 1.5): schema, at least one batch, and an
// empty one that closes, all with the ranges of one snapshot.
func (a *answer) batch(ctx context.Context, snapshots sqlengine.Snapshots) (err error) {
	result, err := a.plan.Run(ctx, snapshots)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, result.Close()) }()
	open, closing, err := both(commonRanges(a.plan.Tables(), snapshots))
	if err != nil {
		return err
	}
	if err := a.sendSchema(); err != nil {
		return err
	}
	if err := a.tooMuch(snapshots); err != nil {
		return err
	}
	for batch, err := range a.faults.Switches.Bend(result.Rows(), a.plan.Ordered) {
		if err != nil {
			return err
		}
		err := a.send(ctx, batch, open)
		batch.Release()
		if err != nil {
			return err
		}
	}
	empty := layout.EmptyBatch(a.plan.Schema)
	defer empty.Release()
	if a.messages == 0 {
		if err := a.send(ctx, empty, open); err != nil {
			return err
		}
	}
	return a.send(ctx, empty, closing)
}

func (a *answer) sendSchema() error {
	schema, err := schemaMessage(a.plan.Schema)
	if err != nil {
		return err
	}
	return a.put(&flight.FlightData{DataHeader: schema})
}

// grpcPrefix is what gRPC writes before a message: whether it is compressed, and
// its length.
const grpcPrefix = 5

func (a *answer) put(message *flight.FlightData) error {
	a.sent += grpcPrefix + int64(proto.Size(message))
	return a.stream.Send(message)
}

// both returns the metadata of ranges that are not complete, and that which says so.
func both(ranges []amp.Range) (open, closing []byte, err error) {
	if open, err = (amp.Metadata{Ranges: ranges}).MarshalJSON(); err != nil {
		return nil, nil, err
	}
	closing, err = amp.Metadata{Ranges: ranges, Complete: true}.MarshalJSON()
	return open, closing, err
}

// tooMuch refuses a query over more than the switches allow, as a real server
// does that runs out of memory while it sorts.
func (a *answer) tooMuch(snapshots sqlengine.Snapshots) error {
	s := a.faults.Switches
	if (s.MaxRows == 0 && s.MaxBlocks == 0) || a.plan.Empty() {
		return nil
	}
	var rows, blocks uint64
	for _, read := range a.plan.Reads() {
		visible, found := snapshots(read.Table).Range()
		if !found {
			continue
		}
		wanted := visible.Numbers.Intersect(read.Blocks)
		rows += snapshots(read.Table).Rows(wanted)
		blocks = max(blocks, wanted.Len())
	}
	if (s.MaxRows > 0 && rows > s.MaxRows) || (s.MaxBlocks > 0 && blocks > s.MaxBlocks) {
		return &sqlengine.Error{Kind: sqlengine.Exhausted, Text: fmt.Sprintf("query execution error | Caused by: "+
			"Resources exhausted: query memory limit of 64.0 MB exceeded (%d rows of %d blocks)", rows, blocks)}
	}
	return nil
}

// send splits, encodes and sends a batch.
func (a *answer) send(ctx context.Context, batch arrow.RecordBatch, metadata []byte) error {
	target := targetBytes
	if a.faults.Switches.Oversize > 0 {
		target = math.MaxInt
	}
	pieces := split(batch, target)
	defer func() {
		for _, p := range pieces {
			p.Release()
		}
	}()
	for _, piece := range pieces {
		message, err := a.encoder.encode(piece, metadata)
		if err != nil {
			return err
		}
		if err := a.faults.Refusal(); err != nil {
			return err
		}
		bytes := int64(len(message.DataHeader) + len(message.DataBody) + len(message.AppMetadata))
		if err := a.faults.Sending(ctx, bytes); err != nil {
			return err
		}
		if err := a.put(message); err != nil {
			return err
		}
		a.messages++
		a.rows += piece.NumRows()
		if a.faults.Sent(piece.NumRows(), bytes) {
			return errDropped
		}
	}
	return nil
}
