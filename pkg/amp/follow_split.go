package amp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/util"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// Split says how a long range of a stream is read by several batch queries at once, for a
// stream that begins behind the head: one connection is slower than the server.
//
// The server names the last block of a range before its rows, with the hash, and a batch
// answer the last block of the data that it was computed from (AP 2). Answers which name
// the same block are of the same chain, the range's. If one does not, because the head has
// moved meanwhile, the range is read from the stream.
type Split struct {
	// Streams is how many queries are open at once. Below 2, nothing is split.
	Streams int
	// Query returns the batch query of the rows of some blocks, ascending by block.
	Query func(block.Range) string
	// From is how many blocks a range has that is split. Defaults to 64.
	From uint64
	// Memory is how many bytes of rows may wait for the rows before them. Defaults to 32 MiB.
	Memory int64
}

const (
	defaultFrom   = 64 // blocks of a range that is split
	leastPiece    = 4  // blocks
	piecesStream  = 2  // pieces for each query that is open: they take unequal time
	defaultMemory = 32 << 20
	waitingRows   = 64 // record batches of a piece that wait, at most

	// mostSplitTries is how often a range is split that the chain outruns.
	mostSplitTries = 2
)

// errSplit says that a stream has announced a range which is read by batch queries.
var errSplit = errors.New("the range is read by several queries")

// snapshotError says that an answer was computed from other blocks than the range.
type snapshotError struct {
	whole Range
	have  []Range
}

func (e *snapshotError) Error() string {
	has := "nothing"
	for _, r := range e.have {
		has = r.inclusive()
	}
	return fmt.Sprintf("the chain has moved while a range was read by several queries: it was %s, and is %s", e.whole.inclusive(), has)
}

// splits reports whether to read the range that a message has opened by batch queries.
func (f *following) splits(m Message) bool {
	split, blocks := f.options.Split, m.Ranges[0].Numbers
	return split != nil && split.Streams > 1 && !m.Complete && blocks.Len() >= cmp.Or(split.From, defaultFrom) &&
		blocks.End > f.unsplit && f.splitTries < mostSplitTries
}

// split reads the open range by batch queries. After an error, which is never permanent, the
// range is to be read from the stream.
func (f *following) split(ctx context.Context) error {
	f.tracker.rows = false // those of the message that opened the range come again
	err := f.readPieces(ctx, *f.tracker.open)
	if err == nil || errors.Is(err, errLeft) || fault.Stack(err) != "" {
		return err
	}
	f.splitTries++
	f.unsplit = f.tracker.open.Numbers.End
	if moved, ok := errors.AsType[*snapshotError](err); ok {
		for _, head := range moved.have {
			f.unsplit = max(f.unsplit, head.Numbers.End-1) // ranges that end below the head would fail, too
		}
	}
	return fault.Later(fmt.Errorf("%s: %w", opGet, err), 0)
}

// readPieces reads a range in pieces, yields their rows in order, and completes it.
func (f *following) readPieces(ctx context.Context, r Range) error {
	s := newSplitRange(f, r)
	defer s.close()
	s.start(ctx)
	for _, p := range s.pieces {
		for record := range p.records {
			f.tracker.rows = true
			more := f.yield(Rows{Record: record, Range: r}, nil)
			p.release(record)
			if !more {
				return errLeft
			}
		}
		if p.err != nil {
			return p.err
		}
	}
	return f.complete()
}

// splitRange is a range that is read in pieces.
type splitRange struct {
	following *following
	whole     Range
	pieces    []*piece
	cancel    context.CancelFunc
	done      sync.WaitGroup
}

// piece is some blocks of a range. Its records are to be received until the channel is
// closed; then err says whether they are all.
type piece struct {
	blocks  block.Range
	records chan arrow.RecordBatch
	err     error
	waiting *semaphore.Weighted // bytes of records
	most    int64
}

func newSplitRange(f *following, r Range) *splitRange {
	s := &splitRange{following: f, whole: r}
	split, blocks := f.options.Split, r.Numbers
	pieces := uint64(split.Streams * piecesStream)
	size := block.Number(max(leastPiece, (blocks.Len()+pieces-1)/pieces))
	most := max(1, cmp.Or(split.Memory, defaultMemory)/int64(pieces))
	for from := blocks.Start; from < blocks.End; from += size {
		s.pieces = append(s.pieces, &piece{
			blocks:  block.Range{Start: from, End: min(from+size, blocks.End)},
			records: make(chan arrow.RecordBatch, waitingRows),
			waiting: semaphore.NewWeighted(most), most: most,
		})
	}
	return s
}

// start lets the pieces be read, in order, as many at once as the options say.
func (s *splitRange) start(ctx context.Context) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.done.Go(func() {
		var g errgroup.Group
		g.SetLimit(s.following.options.Split.Streams)
		for _, p := range s.pieces {
			g.Go(func() error {
				defer close(p.records)
				p.err = fault.Catch(func() error { return s.read(ctx, p) })
				return nil
			})
		}
		_ = g.Wait() // the errors are the pieces'
	})
}

// close ends the reading and releases what was not received.
func (s *splitRange) close() {
	s.cancel()
	s.done.Wait()
	for _, p := range s.pieces {
		for record := range p.records {
			record.Release()
		}
	}
}

// read reads a piece.
func (s *splitRange) read(ctx context.Context, p *piece) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	checked := false
	for m, err := range s.following.client.Fetch(ctx, s.following.options.Split.Query(p.blocks)) {
		if err != nil {
			return fmt.Errorf("blocks %v: %w", p.blocks, err)
		}
		if !checked {
			err = errors.Join(s.sameSnapshot(m.Ranges), sameSchema(s.following.schema, m.Record.Schema()))
			if err != nil {
				return fmt.Errorf("blocks %v: %w", p.blocks, err)
			}
			checked = true
		}
		if m.Record.NumRows() == 0 {
			continue
		}
		if err := p.send(ctx, m.Record); err != nil {
			return err
		}
	}
	return nil
}

// sameSnapshot returns an error unless an answer with these ranges has the blocks of the
// range, and those of its chain.
func (s *splitRange) sameSnapshot(ranges []Range) error {
	whole := s.whole
	if len(ranges) == 1 && ranges[0].Network == whole.Network && ranges[0].Hash == whole.Hash &&
		ranges[0].Numbers.End == whole.Numbers.End && ranges[0].Numbers.Start <= whole.Numbers.Start {
		return nil
	}
	return &snapshotError{whole, ranges}
}

// send hands a record to the consumer, waiting while it is far behind.
func (p *piece) send(ctx context.Context, record arrow.RecordBatch) error {
	if err := p.waiting.Acquire(ctx, p.weight(record)); err != nil {
		return context.Cause(ctx)
	}
	record.Retain()
	select {
	case p.records <- record:
		return nil
	case <-ctx.Done():
		record.Release()
		return context.Cause(ctx)
	}
}

func (p *piece) release(record arrow.RecordBatch) {
	weight := p.weight(record)
	record.Release()
	p.waiting.Release(weight)
}

func (p *piece) weight(record arrow.RecordBatch) int64 {
	return min(p.most, util.TotalRecordSize(record))
}
