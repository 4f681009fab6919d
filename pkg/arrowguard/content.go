package arrowguard

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// spareValues is how many values a field may have beyond the bits of the body: those
// of nulls, runs and structs without fields take no bytes.
const spareValues = 1 << 20

var errCompressed = errors.New("its body is compressed, which Amp does not do and the log does not use")

// content is a record batch, of the stream or of a dictionary, that is checked in the
// order in which the library reads it.
type content struct {
	body    []byte
	most    int64 // values of a field
	nodes   list  // length and null count of each field
	buffers list  // offset and length of each buffer
	further list  // number of further buffers of each field of views
	node    int   // next of nodes
	buffer  int   // next of buffers
	view    int   // next of further
	end     int64 // of the buffers so far
}

// checkContent checks a record batch of these columns, and the place of each of its
// values. It returns the number of rows.
func checkContent(batch table, body []byte, columns ...*field) (int64, error) {
	if batch.has(slotBatchCompression) {
		return 0, errCompressed
	}
	c := &content{
		body: body, most: 8*int64(len(body)) + spareValues,
		nodes: batch.list(slotBatchNodes, 16), buffers: batch.list(slotBatchBuffers, 16), further: batch.list(slotBatchVariadic, 8),
	}
	rows := batch.int64(slotBatchRows)
	if rows < 0 || rows > c.most {
		return 0, fmt.Errorf("it announces %d rows in %d bytes", rows, len(body))
	}
	for _, f := range columns {
		values, err := c.field(f)
		if err == nil && values != rows {
			err = fmt.Errorf("it has %d values in %d rows", values, rows)
		}
		if err != nil {
			return 0, fmt.Errorf("column %.100q: %w", f.name, err)
		}
	}
	if c.node != c.nodes.len || c.buffer != c.buffers.len || c.view != c.further.len {
		return 0, fmt.Errorf("it has %d fields and %d buffers, the schema has %d and %d",
			c.nodes.len, c.buffers.len, c.node, c.buffer)
	}
	return rows, nil
}

// next returns the next buffer. If they overlapped, a message could have any multiple
// of its size in values.
func (c *content) next() ([]byte, error) {
	i := c.buffer
	if i >= c.buffers.len {
		return nil, fmt.Errorf("the message has %d buffers, which is too few", i)
	}
	c.buffer++
	at, size := c.buffers.int64(i, 0), c.buffers.int64(i, 1)
	switch all := int64(len(c.body)); {
	case size == 0:
		return nil, nil
	case size < 0 || at < 0 || at > all || size > all-at:
		return nil, fmt.Errorf("buffer %d has %d bytes at %d, outside the body of %d bytes", i, size, at, all)
	case at%8 != 0:
		return nil, fmt.Errorf("buffer %d begins at %d, which is no multiple of 8", i, at)
	case at < c.end:
		return nil, fmt.Errorf("buffer %d begins at %d, inside the one before it", i, at)
	}
	c.end = at + size
	return c.body[at : at+size : at+size], nil
}

// part is a field without its children.
type part struct {
	values int64
	valid  []byte // bitmap; nil: all are
}

// field checks the next field, and what is inside, and returns its length.
func (c *content) field(f *field) (int64, error) {
	p, err := c.part(f)
	if err != nil {
		return 0, err
	}
	switch f.kind {
	case kindNull:
	case kindBinary, kindText:
		err = checkBinary[int32](c, f, p)
	case kindLargeBinary, kindLargeText:
		err = checkBinary[int64](c, f, p)
	case kindBinaryView, kindTextView:
		err = c.views(f, p)
	case kindList, kindMap:
		err = checkList[int32](c, f, p)
	case kindLargeList:
		err = checkList[int64](c, f, p)
	case kindListView:
		err = checkListView[int32](c, f, p)
	case kindLargeListView:
		err = checkListView[int64](c, f, p)
	case kindFixedList:
		err = c.inside(f.children[0], p.values*f.items)
	case kindStruct:
		for _, child := range f.children {
			if err = c.inside(child, p.values); err != nil {
				break
			}
		}
	case kindUnion:
		err = c.union(f, p)
	case kindRuns:
		err = c.runs(f, p)
	default:
		err = c.fixed(f, p)
	}
	return p.values, err
}

// part checks the length and the nulls of the next field.
func (c *content) part(f *field) (part, error) {
	if c.node >= c.nodes.len {
		return part{}, fmt.Errorf("the message has %d fields, nested ones included, which is too few", c.nodes.len)
	}
	values, nulls := c.nodes.int64(c.node, 0), c.nodes.int64(c.node, 1)
	c.node++
	p := part{values: values}
	switch {
	case values < 0 || values > c.most:
		return p, fmt.Errorf("it announces %d values in %d bytes", values, len(c.body))
	case nulls < 0 || nulls > values:
		return p, fmt.Errorf("it announces %d nulls among %d values", nulls, values)
	case f.kind == kindNull || f.kind == kindUnion:
		return p, nil
	case f.kind == kindRuns && nulls > 0:
		return p, fmt.Errorf("it announces %d nulls, which runs do not have", nulls)
	case f.kind == kindRuns:
		return p, nil
	}
	valid, err := c.next()
	if err != nil || nulls == 0 {
		return p, err
	}
	if 8*int64(len(valid)) < values {
		return p, fmt.Errorf("the bitmap of its %d values has %d bytes", values, len(valid))
	}
	if set := int64(bitutil.CountSetBits(valid, 0, int(values))); set != values-nulls {
		return p, fmt.Errorf("it announces %d nulls among %d values and has %d", nulls, values, values-set)
	}
	p.valid = valid
	return p, nil
}

func (p part) null(i int) bool { return p.valid != nil && !bitutil.BitIsSet(p.valid, i) }

// inside checks a child that must have a number of values, or more.
func (c *content) inside(child *field, least int64) error {
	values, err := c.field(child)
	if err == nil && values < least {
		err = fmt.Errorf("it has %d values where %d belong", values, least)
	}
	if err != nil {
		return fmt.Errorf("inside, field %.100q: %w", child.name, err)
	}
	return nil
}

// fixed checks values of fixed width, and indices into a dictionary.
func (c *content) fixed(f *field, p part) error {
	b, err := c.next()
	if err != nil {
		return err
	}
	if have := int64(len(b)); 8*have < p.values*f.width {
		return fmt.Errorf("its %d values of %d bits have %d bytes", p.values, f.width, have)
	}
	if f.dictionary != nil {
		return checkIndices(f, p, b)
	}
	return nil
}
