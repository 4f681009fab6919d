package arrowguard

import (
	"errors"
	"fmt"
)

// spareValues is how many values a node may have beyond the bits of the body: those
// of nulls, runs and structs without fields take no bytes.
const spareValues = 1 << 20

var errCompressed = errors.New("its body is compressed, which Amp does not do and the log does not use")

// check holds a record batch, of the stream or of a dictionary, to the layout. body
// is the length of the message's body in bytes. It panics as [table] does.
func (l layout) check(batch table, body int) error {
	if batch.has(slotBatchCompression) {
		return errCompressed
	}
	views, err := l.checkNodes(batch, body)
	if err != nil {
		return err
	}
	return l.checkBuffers(batch, int64(body), views)
}

// checkNodes checks the lengths of the fields and counts those of views.
func (l layout) checkNodes(batch table, body int) (views int, err error) {
	nodes := batch.list(slotBatchNodes, 16)
	if nodes.len != len(l) {
		return 0, fmt.Errorf("it has %d fields, nested ones included, where the schema has %d", nodes.len, len(l))
	}
	rows := batch.int64(slotBatchRows)
	most := 8*int64(body) + spareValues
	if rows < 0 || rows > most {
		return 0, fmt.Errorf("it announces %d rows in %d bytes", rows, body)
	}
	for i, n := range l {
		values, nulls := nodes.field(i, 0), nodes.field(i, 1)
		switch {
		case values < 0 || values > most:
			return 0, fmt.Errorf("field %.100q announces %d values in %d bytes", n.name, values, body)
		case nulls < 0 || nulls > values:
			return 0, fmt.Errorf("field %.100q announces %d nulls among %d values", n.name, nulls, values)
		case n.top && values != rows:
			return 0, fmt.Errorf("column %.100q has %d values in %d rows", n.name, values, rows)
		}
		if n.view {
			views++
		}
	}
	return views, nil
}

// checkBuffers checks that there are as many buffers as the library will read, one
// after the other inside the body: if they overlapped, a message could have any
// multiple of its size in values.
func (l layout) checkBuffers(batch table, body int64, views int) error {
	buffers, further := batch.list(slotBatchBuffers, 16), batch.list(slotBatchVariadic, 8)
	if further.len != views {
		return fmt.Errorf("it counts the buffers of %d columns of views, the schema has %d", further.len, views)
	}
	want := 0
	for _, n := range l {
		want += n.buffers
	}
	for i := range views {
		n := further.field(i, 0)
		if n < 0 || n > int64(buffers.len) {
			return fmt.Errorf("a column of views announces %d buffers, the message has %d", n, buffers.len)
		}
		want += int(n)
	}
	if buffers.len != want {
		return fmt.Errorf("it has %d buffers where its columns take %d", buffers.len, want)
	}
	end := int64(0)
	for i := range buffers.len {
		at, size := buffers.field(i, 0), buffers.field(i, 1)
		switch {
		case size == 0:
		case size < 0 || at < 0 || at > body || size > body-at:
			return fmt.Errorf("buffer %d has %d bytes at %d, outside the body of %d bytes", i, size, at, body)
		case at%8 != 0:
			return fmt.Errorf("buffer %d begins at %d, which is no multiple of 8", i, at)
		case at < end:
			return fmt.Errorf("buffer %d begins at %d, inside the one before it", i, at)
		default:
			end = at + size
		}
	}
	return nil
}
