package parquetfile

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

const (
	// pageRows is how many rows a page has at most, so that readers can skip some.
	pageRows = 32 << 10
	// levelRoom is what is left before the values of a page for its levels: their size, the
	// header of a run and a bit for each row.
	levelRoom = 4 + binary.MaxVarintLen32 + pageRows/8
)

// column is the rows of one column in the row group in the making. Different columns may be
// used at the same time.
type column struct {
	values   values
	compress compressor
	limit    int // bytes of a page, about

	page  []byte // the room for levels, then values; empty: there are none
	valid []byte // a bit for each row of the page
	rows  int    // of the page
	nulls int    // of the page

	chunk      []byte // pages, compressed, one behind the other
	pages      []page
	chunkNulls int64
}

// page is a page of a chunk.
type page struct {
	end   int   // in the chunk
	plain int32 // its bytes before compression
	rows  int32
	first int64 // row of the row group
}

// append adds the values of an array.
func (c *column) append(a arrow.Array) {
	n := a.Len()
	for from := 0; from < n; {
		if len(c.page) == 0 {
			c.page = slices.Grow(c.page, levelRoom)[:levelRoom]
		}
		to := min(n, from+pageRows-c.rows)
		var next int
		c.page, next = c.values.encode(c.page, c.rows-c.nulls, a, from, to, c.limit)
		c.note(a, from, next)
		from = next
		if next < to || c.rows == pageRows {
			c.endPage()
		}
	}
}

// note remembers which rows are null.
func (c *column) note(a arrow.Array, from, to int) {
	count := to - from
	if missing := int(bitutil.BytesForBits(int64(c.rows+count))) - len(c.valid); missing > 0 {
		c.valid = append(c.valid, make([]byte, missing)...)
	}
	if a.NullN() == 0 {
		bitutil.SetBitsTo(c.valid, int64(c.rows), int64(count), true)
	} else {
		bits, at := a.NullBitmapBytes(), a.Data().Offset()+from
		bitutil.CopyBitmap(bits, at, count, c.valid, c.rows)
		c.nulls += count - bitutil.CountSetBits(bits, at, count)
	}
	c.rows += count
}

// endPage compresses the page in the making.
func (c *column) endPage() {
	if c.rows == 0 {
		return
	}
	begin := c.putLevels()
	c.chunk = c.compress(c.chunk, c.page[begin:])
	c.pages = append(c.pages, page{end: len(c.chunk), plain: int32(len(c.page) - begin), rows: int32(c.rows), first: c.before()})
	c.chunkNulls += int64(c.nulls)
	clear(c.valid)
	c.page, c.valid, c.rows, c.nulls = c.page[:0], c.valid[:0], 0, 0
}

// before returns how many rows are in the pages that have ended.
func (c *column) before() int64 {
	if len(c.pages) == 0 {
		return 0
	}
	last := c.pages[len(c.pages)-1]
	return last.first + int64(last.rows)
}

// putLevels writes which rows are null right before the values, and returns where that
// begins: a run of ones, if none is, or else a run of bits.
func (c *column) putLevels() int {
	var header [binary.MaxVarintLen32]byte
	run := c.valid[:bitutil.BytesForBits(int64(c.rows))]
	var size int
	if c.nulls == 0 {
		size = binary.PutUvarint(header[:], uint64(c.rows)<<1)
		run = []byte{1}
	} else {
		size = binary.PutUvarint(header[:], uint64(len(run))<<1|1)
	}
	begin := levelRoom - 4 - size - len(run)
	binary.LittleEndian.PutUint32(c.page[begin:], uint32(size+len(run)))
	copy(c.page[begin+4:], header[:size])
	copy(c.page[begin+4+size:], run)
	return begin
}

// held returns how much is in memory.
func (c *column) held() int { return len(c.chunk) + len(c.page) }

// spare is how much larger than its content a buffer may be to be used again.
const spare = 4

// reset forgets all rows. Buffers that were much too large are let go, so that what a large
// row group has needed does not stay for small ones.
func (c *column) reset() {
	if cap(c.chunk) > spare*len(c.chunk)+math.MaxUint16 {
		c.chunk = nil
	}
	page := 0
	for _, p := range c.pages {
		page = max(page, int(p.plain))
	}
	if cap(c.page) > spare*page+math.MaxUint16 || cap(c.page) > spare*c.limit { // or it had a large value
		c.page = nil
	}
	clear(c.valid)
	c.page, c.valid, c.rows, c.nulls = c.page[:0], c.valid[:0], 0, 0
	c.chunk, c.pages, c.chunkNulls = c.chunk[:0], c.pages[:0], 0
	c.values.reset()
}
