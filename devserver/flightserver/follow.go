package flightserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/ampipe/ampipe/devserver/sqlengine"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/layout"
)

// Streaming is how streaming queries are answered. The zero value does as a
// real server.
type Streaming struct {
	// Window is how many blocks a microbatch has at most; 0 is 1000 (AP 3.1).
	Window uint64
	// KeepAlive is how often an empty batch is sent while a microbatch executes; 0
	// is 30 s (AP 1.7).
	KeepAlive time.Duration
}

const (
	defaultWindow    = 1000
	defaultKeepAlive = 30 * time.Second
)

// follower is a streaming query on its way: one microbatch after the other, for
// as long as the client listens. It belongs to the goroutine of the call.
type follower struct {
	*answer
	server  *Server
	chain   table.Chain
	tables  []*table.Table
	network string
	done    *Place // the last block of the last microbatch, or of the cursor; nil: neither
	begun   bool   // the schema has been sent
}

// follow answers a streaming query (AP 3). It ends with an error, unless there
// is nothing to follow.
func (s *Server) follow(ctx context.Context, a *answer, cursor map[string]Place) error {
	if err := a.plan.Incremental(); err != nil {
		return err
	}
	f := &follower{answer: a, server: s}
	if err := f.resolve(); err != nil {
		return err
	}
	switches, _ := s.faults.Watch()
	if last := len(f.tables) - 1; last < 0 || !visible(s.snapshots(switches)(f.tables[last])) {
		return f.nothing(ctx)
	}
	if err := a.plan.Streamable(); err != nil {
		return err
	}
	if cursor != nil {
		place, found := cursor[f.network]
		if !found {
			return unstreamable("failed to convert cursor -> expected cursor for network '%s', but cursor only contains networks: [%s]",
				f.network, strings.Join(slices.Sorted(maps.Keys(cursor)), ", "))
		}
		f.done = &place
	}
	// The client learns that it is being answered, though not by a message.
	if err := f.stream.SendHeader(nil); err != nil {
		return err
	}
	for {
		if err := f.advance(ctx); err != nil {
			return streamError(err)
		}
	}
}

func visible(s table.Snapshot) bool {
	_, found := s.Range()
	return found
}

// resolve finds the one chain that the tables of the query belong to (AP 3.7).
func (f *follower) resolve() error {
	for _, use := range f.plan.Tables() {
		switch {
		case f.network == "":
			f.network, f.chain = use.Dataset.Network, use.Table.Chain
		case use.Dataset.Network != f.network:
			return unstreamable("failed to resolve raw dataset from dependencies -> multiple networks in dependency tree: %s and %s",
				use.Dataset.Network, f.network)
		}
		if use.Table.Chain == nil {
			return unstreamable("failed to resolve blocks table -> blocks table not found in raw dataset %s", use.Dataset.Ref)
		}
		if use.Table.Chain != f.chain {
			return &sqlengine.Error{Kind: sqlengine.Unoffered,
				Text: "a streaming query over datasets of one network that do not share a chain is not offered by the development server"}
		}
		f.tables = append(f.tables, use.Table)
	}
	return nil
}

// nothing returns the answer while there is no table, or none with data: that of a
// batch query without rows (AP 3.8).
func (f *follower) nothing(ctx context.Context) error {
	if err := f.begin(); err != nil {
		return err
	}
	_, closing, err := both(nil)
	if err != nil {
		return err
	}
	return f.empty(ctx, closing)
}

// advance sends the next microbatch, or waits for anything that could make one
// possible. Nothing is sent meanwhile (AP 1.7).
func (f *follower) advance(ctx context.Context) error {
	switches, switched := f.server.faults.Watch()
	now, changed := f.chain.Now()
	snapshots := f.server.snapshots(switches, moment{f.chain, now})
	blocks, ready := f.next(now, snapshots)
	if ready {
		return f.microbatch(ctx, blocks, now, snapshots, switches)
	}
	select {
	case <-changed:
		return nil
	case <-switched:
		return nil
	case err := <-f.faults.Failed():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next returns the blocks of the next microbatch (AP 3.1); false if it has none
// yet.
func (f *follower) next(now table.Moment, snapshots sqlengine.Snapshots) (block.Range, bool) {
	common := block.Range{Start: block.Max, End: block.Max + 1}
	for _, t := range f.tables {
		r, found := snapshots(t).Range()
		if !found {
			return block.Range{}, false
		}
		common.Start, common.End = min(common.Start, r.Numbers.Start), min(common.End, r.Numbers.End)
	}
	start := common.Start
	if f.done != nil {
		start = f.after(now)
	}
	if start < common.Start || start >= common.End {
		return block.Range{}, false
	}
	return block.Range{Start: start, End: min(common.End, start+block.Number(f.server.streaming.Window))}, true
}

// after returns where a stream continues that is done with a block: behind it; where
// its branch left the chain; or, if that is unknown, at the same number, however
// deep the fork (AP 3.4).
func (f *follower) after(now table.Moment) block.Number {
	if h, found := now.Header(f.done.Number); found && h.Hash == f.done.Hash {
		return f.done.Number + 1
	}
	if from, known := now.Orphan(f.done.Number, f.done.Hash); known {
		return from
	}
	return f.done.Number
}

// microbatch sends some blocks: an empty batch, the rows, and the marker that
// they are complete.
func (f *follower) microbatch(
	ctx context.Context, blocks block.Range, now table.Moment, snapshots sqlengine.Snapshots, switches faults.Switches,
) error {
	first, hasFirst := now.Header(blocks.Start)
	last, hasLast := now.Header(blocks.Last())
	if !hasFirst || !hasLast {
		return unstreamable("the blocks table has no hash for blocks %d to %d", blocks.Start, blocks.Last())
	}
	open, closing, err := both([]amp.Range{{
		Network: f.network, Numbers: blocks, Hash: last.Hash, Prev: first.Parent, HasPrev: true, Timestamp: last.Time,
	}})
	if err != nil {
		return err
	}
	if err := f.begin(); err != nil {
		return err
	}
	if err := f.empty(ctx, open); err != nil {
		return err
	}
	if err := f.rows(ctx, blocks, snapshots, switches, open); err != nil {
		return err
	}
	if err := f.empty(ctx, closing); err != nil {
		return err
	}
	f.done = &Place{Number: blocks.Last(), Hash: last.Hash}
	return nil
}

// begin sends the schema, before the first microbatch (AP 1.5).
func (f *follower) begin() error {
	if f.begun {
		return nil
	}
	f.begun = true
	return f.sendSchema()
}

func (f *follower) empty(ctx context.Context, metadata []byte) error {
	batch := layout.EmptyBatch(f.plan.Schema)
	defer batch.Release()
	return f.send(ctx, batch, metadata)
}

// unstreamable returns a refusal that is found after the query has been planned.
func unstreamable(format string, args ...any) error {
	return &sqlengine.Error{Kind: sqlengine.Internal, Text: "streaming query execution error | Caused by: " + fmt.Sprintf(format, args...)}
}

// streamError returns a failure of rows the words it has in a stream: any of them
// is INTERNAL there (AP 6.2).
func streamError(err error) error {
	var refused *sqlengine.Error
	if !errors.As(err, &refused) || refused.Kind == sqlengine.Unoffered || strings.HasPrefix(refused.Text, "streaming ") {
		return err
	}
	return unstreamable("%s", strings.TrimPrefix(refused.Text, "query execution error | Caused by: "))
}
