package entry

import (
	"fmt"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/block"
)

// rows is the queue of rows that a cutter holds back, in ascending order of
// blocks. It has its own references to their batches.
type rows struct{ chunks []chunk }

// chunk is one batch and the block of each of its rows.
type chunk struct {
	rec    arrow.RecordBatch
	blocks []block.Number
	size   int
	kept   int // rows whose memory the batch keeps: those that it was cut from
}

func newChunk(rec arrow.RecordBatch, i, j int, blocks []block.Number, kept int) chunk {
	c := chunk{rec: rec.NewSlice(int64(i), int64(j)), blocks: blocks[i:j], size: rowsSize(rec, i, j), kept: kept}
	if 4*len(c.blocks) > kept {
		return c
	}
	// The rows wait for those of the next message, and would keep all of theirs.
	if own, err := concatenate(rec.Schema(), []arrow.RecordBatch{c.rec}); err == nil { // some types cannot be copied
		c.rec.Release()
		c.rec, c.kept = own, len(c.blocks)
	}
	return c
}

// push appends the rows of rec that blocks names, from the first on, and returns their bytes.
func (r *rows) push(rec arrow.RecordBatch, blocks []block.Number) (size int) {
	if len(blocks) == 0 {
		return 0
	}
	c := newChunk(rec, 0, len(blocks), blocks, len(blocks))
	r.chunks = append(r.chunks, c)
	return c.size
}

func (r *rows) len() int {
	n := 0
	for _, c := range r.chunks {
		n += len(c.blocks)
	}
	return n
}

// sizeOf returns the bytes of the first n rows.
func (r *rows) sizeOf(n int) int {
	size := 0
	for _, c := range r.chunks {
		if n < len(c.blocks) {
			return size + rowsSize(c.rec, 0, n)
		}
		size += c.size
		n -= len(c.blocks)
	}
	return size
}

// block returns the block of row i.
func (r *rows) block(i int) block.Number {
	for _, c := range r.chunks {
		if i < len(c.blocks) {
			return c.blocks[i]
		}
		i -= len(c.blocks)
	}
	panic(fmt.Sprintf("row %d of %d", i, r.len()))
}

// firstAtLeast returns the first row of block n or a later one.
func (r *rows) firstAtLeast(n block.Number) int {
	before := 0
	for _, c := range r.chunks {
		if last := len(c.blocks); c.blocks[last-1] >= n {
			return before + firstAtLeast(c.blocks, n)
		}
		before += len(c.blocks)
	}
	return before
}

// fit returns how many rows, from the first on, take no more than size bytes.
func (r *rows) fit(size int) int {
	fits := 0
	for _, c := range r.chunks {
		if c.size <= size {
			size -= c.size
			fits += len(c.blocks)
			continue
		}
		return fits + sort.Search(len(c.blocks), func(i int) bool { return rowsSize(c.rec, 0, i+1) > size })
	}
	return fits
}

// batches returns rows [i, j) as batches that the caller releases.
func (r *rows) batches(i, j int) []arrow.RecordBatch {
	var out []arrow.RecordBatch
	for _, c := range r.chunks {
		n := len(c.blocks)
		if from, to := max(i, 0), min(j, n); from < to {
			out = append(out, c.rec.NewSlice(int64(from), int64(to)))
		}
		i, j = i-n, j-n
	}
	return out
}

// drop removes the first n rows.
func (r *rows) drop(n int) {
	for n > 0 {
		c := r.chunks[0]
		if n < len(c.blocks) {
			r.chunks[0] = newChunk(c.rec, n, len(c.blocks), c.blocks, c.kept)
		} else {
			r.chunks = r.chunks[1:]
		}
		c.rec.Release()
		n -= len(c.blocks)
	}
}

// truncate removes the rows of block end and later ones.
func (r *rows) truncate(end block.Number) {
	for i, c := range r.chunks {
		keep := firstAtLeast(c.blocks, end)
		if keep == len(c.blocks) {
			continue
		}
		for _, gone := range r.chunks[i+1:] {
			gone.rec.Release()
		}
		r.chunks = r.chunks[:i]
		r.push(c.rec, c.blocks[:keep])
		c.rec.Release()
		return
	}
}

func firstAtLeast(blocks []block.Number, n block.Number) int {
	return sort.Search(len(blocks), func(i int) bool { return blocks[i] >= n })
}

// blockNumbers reads the block column.
func blockNumbers(rec arrow.RecordBatch, column int) ([]block.Number, error) {
	if column >= int(rec.NumCols()) {
		return nil, fmt.Errorf("%w: there is no column %d", ErrBlockColumn, column)
	}
	col := rec.Column(column)
	at := NumbersOf(col)
	switch {
	case at == nil:
		return nil, fmt.Errorf("%w: %q is of type %v", ErrBlockColumn, rec.ColumnName(column), col.DataType())
	case col.NullN() > 0:
		return nil, fmt.Errorf("%w: it has %d nulls", ErrBlockColumn, col.NullN())
	}
	out := make([]block.Number, col.Len())
	for i := range out {
		out[i] = at(i)
	}
	return out, nil
}

// NumbersOf returns what reads the block numbers of an integer column; nil: it is of another
// type. A negative number becomes one above [block.Max], which every check refuses.
func NumbersOf(col arrow.Array) func(i int) block.Number {
	switch col := col.(type) {
	case *array.Uint64:
		return numbers(col.Uint64Values())
	case *array.Int64:
		return numbers(col.Int64Values())
	case *array.Uint32:
		return numbers(col.Uint32Values())
	case *array.Int32:
		return numbers(col.Int32Values())
	case *array.Uint16:
		return numbers(col.Uint16Values())
	case *array.Int16:
		return numbers(col.Int16Values())
	case *array.Uint8:
		return numbers(col.Uint8Values())
	case *array.Int8:
		return numbers(col.Int8Values())
	default:
		return nil
	}
}

func numbers[T uint64 | int64 | uint32 | int32 | uint16 | int16 | uint8 | int8](values []T) func(i int) block.Number {
	return func(i int) block.Number { return block.Number(values[i]) }
}
