package table

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"sort"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Chunk is a part of a stored table that is read as a whole.
type Chunk struct {
	// Blocks bounds the block numbers of the rows; it may be wider.
	Blocks block.Range
	Rows   uint64
	// Load reads the columns named by index. The caller releases the batches.
	Load func(ctx context.Context, columns []int) ([]arrow.RecordBatch, error)
}

// Stored is a source whose rows exist already: in files or in memory. It does
// not grow.
type Stored struct {
	schema *arrow.Schema
	// visible is the range; nil if the table has no data.
	visible *amp.Range
	chunks  []Chunk // ascending
	// Headers finds the hash and time of a block inside the range, for
	// [Snapshot.Until]; nil, or false, if nobody knows. It must be set before the
	// source is used.
	Headers func(block.Number) (block.Hash, time.Time, bool)
}

// NewStored makes a source from chunks in ascending order of blocks. A nil
// visible range means that the table has no data.
func NewStored(schema *arrow.Schema, visible *amp.Range, chunks []Chunk) *Stored {
	return &Stored{schema: schema, visible: visible, chunks: chunks}
}

// NewMemory makes a source from batches that stay in memory; their rows ascend
// by [BlockColumn]. It retains the batches for good.
func NewMemory(schema *arrow.Schema, visible *amp.Range, batches []arrow.RecordBatch) (*Stored, error) {
	var chunks []Chunk
	for _, b := range batches {
		if b.NumRows() == 0 {
			continue
		}
		numbers, err := blockNumbers(b)
		if err != nil {
			return nil, err
		}
		b.Retain()
		chunks = append(chunks, Chunk{
			Blocks: block.Closed(block.Number(numbers[0]), block.Number(numbers[len(numbers)-1])),
			Rows:   uint64(b.NumRows()),
			Load: func(_ context.Context, columns []int) ([]arrow.RecordBatch, error) {
				return []arrow.RecordBatch{Project(b, columns)}, nil
			},
		})
	}
	return NewStored(schema, visible, chunks), nil
}

// Schema implements [Source].
func (s *Stored) Schema() *arrow.Schema { return s.schema }

// Snapshot implements [Source].
func (s *Stored) Snapshot() Snapshot { return storedSnapshot{s, s.visible} }

type storedSnapshot struct {
	*Stored
	visible *amp.Range
}

// Range implements [Snapshot].
func (s storedSnapshot) Range() (amp.Range, bool) {
	if s.visible == nil {
		return amp.Range{}, false
	}
	return *s.visible, true
}

// Until implements [Snapshot]. Where no blocks table tells the hash of the new
// head, a stand-in is made from network and number.
func (s storedSnapshot) Until(last block.Number) Snapshot {
	if s.visible == nil || last >= s.visible.Numbers.Last() {
		return s
	}
	if last < s.visible.Numbers.Start {
		return storedSnapshot{s.Stored, nil}
	}
	cut := *s.visible
	cut.Numbers.End = last + 1
	cut.Hash = standIn(cut.Network, last)
	cut.Timestamp = time.Time{}
	if s.Headers != nil {
		if hash, at, found := s.Headers(last); found {
			cut.Hash, cut.Timestamp = hash, at
		}
	}
	return storedSnapshot{s.Stored, &cut}
}

// standIn returns a hash for a block whose own is nowhere to be found: always the
// same, and never zero.
func standIn(network string, n block.Number) block.Hash {
	return sha256.Sum256(fmt.Append(nil, network, " ", n))
}

func (s storedSnapshot) within(blocks block.Range) (block.Range, []Chunk) {
	if s.visible == nil {
		return block.Range{}, nil
	}
	blocks = blocks.Intersect(s.visible.Numbers)
	first := sort.Search(len(s.chunks), func(i int) bool { return s.chunks[i].Blocks.End > blocks.Start })
	end := sort.Search(len(s.chunks), func(i int) bool { return s.chunks[i].Blocks.Start >= blocks.End })
	return blocks, s.chunks[first:max(first, end)]
}

// Rows implements [Snapshot]: an estimate for a chunk that is cut.
func (s storedSnapshot) Rows(blocks block.Range) uint64 {
	blocks, chunks := s.within(blocks)
	var rows uint64
	for _, c := range chunks {
		part := float64(c.Blocks.Intersect(blocks).Len()) / float64(max(c.Blocks.Len(), 1))
		rows += uint64(float64(c.Rows)*part + 0.5)
	}
	return rows
}

// Scan implements [Snapshot].
func (s storedSnapshot) Scan(ctx context.Context, blocks block.Range, columns []int) iter.Seq2[arrow.RecordBatch, error] {
	blocks, chunks := s.within(blocks)
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, c := range chunks {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !s.scanChunk(ctx, c, blocks, columns, yield) {
				return
			}
		}
	}
}

// scanChunk loads a chunk with its block column in front, cuts it to the blocks
// wanted and takes the block column off again. False means stop.
func (s storedSnapshot) scanChunk(
	ctx context.Context, c Chunk, blocks block.Range, columns []int, yield func(arrow.RecordBatch, error) bool,
) bool {
	number := s.schema.FieldIndices(BlockColumn)
	if len(number) != 1 {
		return yield(nil, fmt.Errorf("a table without the column %s cannot be scanned", BlockColumn))
	}
	batches, err := c.Load(ctx, append([]int{number[0]}, columns...))
	if err != nil {
		return yield(nil, err)
	}
	if len(batches) == 0 {
		return true
	}
	defer func() {
		for _, b := range batches {
			b.Release()
		}
	}()
	keep := All(batches[0].Schema())[1:]
	for _, b := range batches {
		numbers, err := blockNumbers(b)
		if err != nil {
			return yield(nil, err)
		}
		from := sort.Search(len(numbers), func(i int) bool { return block.Number(numbers[i]) >= blocks.Start })
		to := sort.Search(len(numbers), func(i int) bool { return block.Number(numbers[i]) >= blocks.End })
		if from == to {
			continue
		}
		cut := b.NewSlice(int64(from), int64(to))
		more := yield(Project(cut, keep), nil)
		cut.Release()
		if !more {
			return false
		}
	}
	return true
}

var errUnsorted = errors.New("rows do not ascend by " + BlockColumn)

// blockNumbers returns the block column of a batch, which must ascend.
func blockNumbers(b arrow.RecordBatch) ([]uint64, error) {
	index := b.Schema().FieldIndices(BlockColumn)
	if len(index) == 0 {
		return nil, fmt.Errorf("a table needs the column %s", BlockColumn)
	}
	column, isUint64 := b.Column(index[0]).(*array.Uint64)
	if !isUint64 || column.NullN() > 0 {
		return nil, fmt.Errorf("the column %s must be UInt64 without nulls", BlockColumn)
	}
	numbers := column.Uint64Values()
	for i := 1; i < len(numbers); i++ {
		if numbers[i] < numbers[i-1] {
			return nil, errUnsorted
		}
	}
	return numbers, nil
}
