package arrowguard

import (
	"errors"
	"fmt"
	"unicode/utf8"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
)

// numbers reads n numbers at the start of a buffer; nil: it has fewer.
func numbers[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](b []byte, n int64) []T {
	size := int64(unsafe.Sizeof(T(0)))
	if n == 0 || int64(len(b))/size < n {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// checkOffsets checks that the offsets of values ascend and stay within a size. Of no
// values there may be none, as Amp has it.
func checkOffsets[T int32 | int64](b []byte, values, size int64) ([]T, error) {
	if values == 0 {
		return nil, nil
	}
	offsets := numbers[T](b, values+1)
	if offsets == nil {
		return nil, fmt.Errorf("the offsets of its %d values have %d bytes", values, len(b))
	}
	before := offsets[0]
	if before < 0 {
		return nil, fmt.Errorf("its first offset is %d", before)
	}
	for i, at := range offsets[1:] {
		if at < before {
			return nil, fmt.Errorf("the offset after value %d is %d, less than the one before it, %d", i, at, before)
		}
		before = at
	}
	if int64(before) > size {
		return nil, fmt.Errorf("its values end at %d, there are only %d", before, size)
	}
	return offsets, nil
}

func checkBinary[T int32 | int64](c *content, f *field, p part) error {
	b, err := c.next()
	if err != nil {
		return err
	}
	data, err := c.next()
	if err != nil {
		return err
	}
	offsets, err := checkOffsets[T](b, p.values, int64(len(data)))
	if err != nil || offsets == nil || f.kind == kindBinary || f.kind == kindLargeBinary {
		return err
	}
	return checkText(offsets, data)
}

// errText also says what to do: the bytes of another type are no text.
const errText = "value %d is not UTF-8, which Arrow's text must be; cast the column to a binary type in the query"

// checkText checks all values at once, and then that none begins inside a character.
func checkText[T int32 | int64](offsets []T, data []byte) error {
	whole := utf8.Valid(data[offsets[0]:offsets[len(offsets)-1]])
	for i, at := range offsets[1:] {
		if whole && (int(at) == len(data) || utf8.RuneStart(data[at])) {
			continue
		}
		if !utf8.Valid(data[offsets[i]:at]) {
			return fmt.Errorf(errText, i)
		}
	}
	return nil
}

func (c *content) views(f *field, p part) error {
	b, err := c.next()
	if err != nil {
		return err
	}
	if c.view >= c.further.len {
		return errors.New("the message does not say how many buffers it has")
	}
	n := c.further.int64(c.view, 0)
	c.view++
	if n < 0 || n > int64(c.buffers.len-c.buffer) {
		return fmt.Errorf("it announces %d buffers, the message has %d", n, c.buffers.len-c.buffer)
	}
	buffers := make([][]byte, n)
	for i := range buffers {
		if buffers[i], err = c.next(); err != nil {
			return err
		}
	}
	all := arrow.ViewHeaderTraits.CastFromBytes(b)
	if int64(len(all)) < p.values {
		return fmt.Errorf("its %d views have %d bytes", p.values, len(b))
	}
	for i := range all[:p.values] {
		if p.null(i) {
			continue
		}
		value, err := viewed(&all[i], buffers)
		if err != nil {
			return fmt.Errorf("value %d: %w", i, err)
		}
		if f.kind == kindTextView && !utf8.Valid(value) {
			return fmt.Errorf(errText, i)
		}
	}
	return nil
}

// viewed returns what a view shows.
func viewed(v *arrow.ViewHeader, buffers [][]byte) ([]byte, error) {
	size := v.Len()
	switch {
	case size < 0:
		return nil, fmt.Errorf("the view has a size of %d", size)
	case v.IsInline():
		return v.InlineBytes(), nil
	}
	index, at := int(v.BufferIndex()), int(v.BufferOffset())
	if index < 0 || index >= len(buffers) {
		return nil, fmt.Errorf("the view points into buffer %d of %d", index, len(buffers))
	}
	if at < 0 || at > len(buffers[index]) || size > len(buffers[index])-at {
		return nil, fmt.Errorf("the view shows %d bytes at %d of a buffer of %d", size, at, len(buffers[index]))
	}
	value := buffers[index][at : at+size]
	if prefix := v.Prefix(); string(value[:len(prefix)]) != string(prefix[:]) {
		return nil, errors.New("the view begins with other bytes than its value")
	}
	return value, nil
}

func checkList[T int32 | int64](c *content, f *field, p part) error {
	b, err := c.next()
	if err != nil {
		return err
	}
	items, err := c.field(f.children[0])
	if err != nil {
		return fmt.Errorf("inside, field %.100q: %w", f.children[0].name, err)
	}
	_, err = checkOffsets[T](b, p.values, items)
	return err
}

// checkListView also bounds how often the items may be shown.
func checkListView[T int32 | int64](c *content, f *field, p part) error {
	at, err := c.next()
	if err != nil {
		return err
	}
	size, err := c.next()
	if err != nil {
		return err
	}
	items, err := c.field(f.children[0])
	if err != nil || p.values == 0 {
		return err
	}
	starts, sizes := numbers[T](at, p.values), numbers[T](size, p.values)
	if starts == nil || sizes == nil {
		return fmt.Errorf("its %d lists have %d bytes of offsets and %d of sizes", p.values, len(at), len(size))
	}
	shown := int64(0)
	for i, n := range sizes {
		start := int64(starts[i])
		if n < 0 || (n > 0 && (start < 0 || start > items || int64(n) > items-start)) {
			return fmt.Errorf("list %d has %d items at %d, there are only %d", i, n, start, items)
		}
		if shown += int64(n); shown > c.most {
			return fmt.Errorf("its lists show %d items more than %d times in all", items, c.most)
		}
	}
	return nil
}

func (c *content) union(f *field, p part) error {
	ids, err := c.next()
	if err != nil {
		return err
	}
	var offsets []byte
	if f.dense {
		if offsets, err = c.next(); err != nil {
			return err
		}
	}
	lengths := make([]int64, len(f.children))
	for i, child := range f.children {
		if lengths[i], err = c.field(child); err != nil {
			return fmt.Errorf("inside, field %.100q: %w", child.name, err)
		}
	}
	if int64(len(ids)) < p.values || (f.dense && int64(len(offsets)) < 4*p.values) {
		return fmt.Errorf("its %d values have %d bytes of type ids and %d of offsets", p.values, len(ids), len(offsets))
	}
	at := numbers[int32](offsets, p.values)
	for i, code := range ids[:p.values] {
		if int(code) >= len(f.codes) || f.codes[code] < 0 {
			return fmt.Errorf("value %d is of type id %d, which the union does not have", i, int8(code))
		}
		place, child := int64(i), f.codes[code]
		if f.dense {
			place = int64(at[i])
		}
		if place < 0 || place >= lengths[child] {
			return fmt.Errorf("value %d is number %d of the %d of its type", i, place, lengths[child])
		}
	}
	return nil
}

// runs checks that the ends of runs ascend and cover all values.
func (c *content) runs(f *field, p part) error {
	ends, node, buffer := f.children[0], c.node, c.buffer
	runs, err := c.field(ends)
	if err == nil && (ends.kind != kindInt || c.nodes.int64(node, 1) != 0) {
		err = errors.New("ends of runs must be integers, none of them null")
	}
	if err != nil {
		return fmt.Errorf("inside, field %.100q: %w", ends.name, err)
	}
	at, size := c.buffers.int64(buffer+1, 0), c.buffers.int64(buffer+1, 1)
	if size == 0 {
		at = 0
	}
	b, last := c.body[at:at+size], int64(0)
	switch ends.width {
	case 16:
		last, err = lastEnd(numbers[int16](b, runs))
	case 32:
		last, err = lastEnd(numbers[int32](b, runs))
	case 64:
		last, err = lastEnd(numbers[int64](b, runs))
	default:
		err = fmt.Errorf("ends of runs have %d bits", ends.width)
	}
	if err == nil && last < p.values {
		err = fmt.Errorf("its runs end at %d, there are %d values", last, p.values)
	}
	if err != nil {
		return err
	}
	return c.inside(f.children[1], runs)
}

func lastEnd[T int16 | int32 | int64](ends []T) (int64, error) {
	last := T(0)
	for i, end := range ends {
		if end <= last {
			return 0, fmt.Errorf("run %d ends at %d, after one that ends at %d", i, end, last)
		}
		last = end
	}
	return int64(last), nil
}

// checkIndices checks those that are not null.
func checkIndices(f *field, p part, b []byte) error {
	switch {
	case f.width == 8 && f.signed:
		return within(numbers[int8](b, p.values), f, p)
	case f.width == 8:
		return within(numbers[uint8](b, p.values), f, p)
	case f.width == 16 && f.signed:
		return within(numbers[int16](b, p.values), f, p)
	case f.width == 16:
		return within(numbers[uint16](b, p.values), f, p)
	case f.width == 32 && f.signed:
		return within(numbers[int32](b, p.values), f, p)
	case f.width == 32:
		return within(numbers[uint32](b, p.values), f, p)
	case f.signed:
		return within(numbers[int64](b, p.values), f, p)
	default:
		return within(numbers[uint64](b, p.values), f, p)
	}
}

func within[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](indices []T, f *field, p part) error {
	for i, index := range indices {
		// A negative one is a very large one.
		if uint64(int64(index)) >= uint64(f.dictionary.length) && !p.null(i) {
			return fmt.Errorf("value %d is number %d of a dictionary of %d", i, index, f.dictionary.length)
		}
	}
	return nil
}
