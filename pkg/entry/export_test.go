package entry

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
)

// Next is the first block that has not been given out.
func (c *Cutter) Next() block.Number { return c.next }

// Room is how many bytes the encoder has to encode in.
func (e *Encoder) Room() int {
	b := e.buffers.take()
	defer e.buffers.put(b)
	return b.stream.Cap()
}

// RowsSize is about how many bytes of an entry the rows take.
func RowsSize(rec arrow.RecordBatch) int { return rowsSize(rec, 0, int(rec.NumRows())) }
