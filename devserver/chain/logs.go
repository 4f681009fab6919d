package chain

import (
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Real chains have many logs of few contracts and events.
const (
	contracts = 500
	events    = 24
)

// logColumns writes the buffers of a batch of logs in place: at a million rows
// a second there is no time for a builder's checks.
type logColumns struct {
	blockNum               []uint64
	blockHash, txHash      []byte
	timestamp              []int64
	txIndex, logIndex      []uint32
	address                []byte
	topics                 [4][]byte
	valid                  [4][]byte
	nulls                  [4]int
	offsets                []int32
	data                   []byte
	contractKey, eventsKey key
}

func logBatch(schema *arrow.Schema, v View, spans []span, rows int) arrow.RecordBatch {
	c := logColumns{
		blockNum: make([]uint64, rows), blockHash: make([]byte, 32*rows), txHash: make([]byte, 32*rows),
		timestamp: make([]int64, rows), txIndex: make([]uint32, rows), logIndex: make([]uint32, rows),
		address: make([]byte, 20*rows), offsets: make([]int32, 1, rows+1), data: make([]byte, 0, 80*rows),
	}
	for i := range c.topics {
		c.topics[i] = make([]byte, 32*rows)
		c.valid[i] = make([]byte, bitutil.BytesForBits(int64(rows)))
	}
	c.contractKey = newKey(v.config.Seed, 0, 0).derive(saltContract)
	c.eventsKey = newKey(v.config.Seed, 0, 0).derive(saltTopic)
	row := 0
	for _, s := range spans {
		row = c.block(v, s, row)
	}
	return c.batch(schema, rows)
}

// block writes the rows of one block from row on and returns the row after them.
func (c *logColumns) block(v View, s span, row int) int {
	h := v.Header(s.block)
	logs, transactions := v.Logs(s.block), v.Transactions(s.block)
	at := h.Time.UnixNano()
	last := ^uint32(0)
	var hash [32]byte
	for i := s.from; i < s.to; i++ {
		tx := uint32(uint64(i) * uint64(transactions) / uint64(logs))
		if tx != last {
			hash, last = h.transactionHash(tx), tx
		}
		c.blockNum[row] = uint64(h.Number)
		copy(c.blockHash[32*row:], h.Hash[:])
		c.timestamp[row] = at
		copy(c.txHash[32*row:], hash[:])
		c.txIndex[row] = tx
		c.logIndex[row] = i
		c.event(row, h.key.derive(saltLog+uint64(i)<<8))
		row++
	}
	return row
}

// event writes contract, topics and data of a log.
func (c *logColumns) event(row int, k key) {
	shape := k.next()
	contract := c.contractKey.derive(shape % contracts)
	contract.fill(c.address[20*row : 20*row+20])
	topics := 1 + int(shape>>16%4)
	if shape>>20%64 == 0 {
		topics = 0
	}
	for t := range topics {
		bitutil.SetBit(c.valid[t], row)
		to := c.topics[t][32*row : 32*row+32]
		switch {
		case t == 0:
			event := c.eventsKey.derive(shape >> 24 % events)
			event.fill(to)
		case shape>>(32+t)&1 == 0: // an address: twelve zeros in front
			k.fill(to[12:])
		default:
			k.fill(to)
		}
	}
	for t := topics; t < 4; t++ {
		c.nulls[t]++
	}
	words := [16]int{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 5, 5, 8}[shape>>40%16]
	size := len(c.data)
	c.data = slices.Grow(c.data, 32*words)[:size+32*words]
	for w := range words {
		word := c.data[size+32*w : size+32*w+32]
		if shape>>48%10 < 3 { // a small number
			clear(word[:24])
			binary.BigEndian.PutUint64(word[24:], k.next())
			continue
		}
		k.fill(word)
	}
	c.offsets = append(c.offsets, int32(len(c.data)))
}

func (c *logColumns) batch(schema *arrow.Schema, rows int) arrow.RecordBatch {
	buffer := memory.NewBufferBytes
	fixed := func(column int, values []byte) arrow.Array {
		return makeArray(schema, column, rows, 0, nil, buffer(values))
	}
	columns := []arrow.Array{
		fixed(0, arrow.Uint64Traits.CastToBytes(c.blockNum)),
		fixed(1, c.blockHash),
		fixed(2, arrow.Uint64Traits.CastToBytes(c.blockNum)),
		fixed(3, arrow.Int64Traits.CastToBytes(c.timestamp)),
		fixed(4, c.txHash),
		fixed(5, arrow.Uint32Traits.CastToBytes(c.txIndex)),
		fixed(6, arrow.Uint32Traits.CastToBytes(c.logIndex)),
		fixed(7, c.address),
	}
	for t := range c.topics {
		columns = append(columns, makeArray(schema, 8+t, rows, c.nulls[t], buffer(c.valid[t]), buffer(c.topics[t])))
	}
	columns = append(columns, makeArray(schema, 12, rows, 0, nil,
		buffer(arrow.Int32Traits.CastToBytes(c.offsets)), buffer(c.data)))
	return newBatch(schema, columns, rows)
}

// makeArray wraps the buffers of a column.
func makeArray(schema *arrow.Schema, column, rows, nulls int, buffers ...*memory.Buffer) arrow.Array {
	data := array.NewData(schema.Field(column).Type, rows, buffers, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// newBatch takes over the columns.
func newBatch(schema *arrow.Schema, columns []arrow.Array, rows int) arrow.RecordBatch {
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	return array.NewRecordBatch(schema, columns, int64(rows))
}
