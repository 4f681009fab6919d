package entry

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// DefaultDecodeLimit is the most bytes of Arrow data that a [Decoder] accepts
// in one entry. The largest valid entry is one block that compresses well into
// a message of at most 64 MiB.
const DefaultDecodeLimit = 1 << 30

// Decoder turns entries back into record batches. It is not safe for concurrent
// use.
type Decoder struct {
	// Limit bounds the bytes of Arrow data of one entry, so that a small
	// message cannot fill the memory. Default [DefaultDecodeLimit].
	Limit int

	mem  memory.Allocator
	zstd *zstd.Decoder

	// The schema of the entry before: one pointer for all entries that have
	// it, whose fingerprint need not be computed again.
	schema *arrow.Schema
	print  string
}

// NewDecoder returns a decoder that takes memory from mem; nil means Go's own.
func NewDecoder(mem memory.Allocator) *Decoder {
	if mem == nil {
		mem = memory.DefaultAllocator
	}
	return &Decoder{Limit: DefaultDecodeLimit, mem: mem}
}

// Decode returns the schema and the rows of a data entry. The batches are the
// caller's, who releases them; there are none if the entry has no rows. Batches
// of an entry that is not compressed share the memory of e.Payload, which must
// then stay as it is while they live.
//
// The payload is checked against itself (package arrowguard) and against the header, so
// that hostile bytes are an error. An error means that the message is damaged or not an
// entry: decoding it again cannot help.
func (d *Decoder) Decode(e Entry) (*arrow.Schema, []arrow.RecordBatch, error) {
	if e.Kind != Data {
		return nil, nil, fmt.Errorf("decode blocks %v: an entry of kind %q has no rows", e.Range, e.Kind)
	}
	schema, recs, err := d.decode(e)
	if err != nil {
		return nil, nil, fmt.Errorf("decode blocks %v: %w", e.Range, err)
	}
	return schema, recs, nil
}

func (d *Decoder) decode(e Entry) (*arrow.Schema, []arrow.RecordBatch, error) {
	raw, err := d.unpack(e)
	if err != nil {
		return nil, nil, err
	}
	defer raw.Release()
	schema, recs, err := readStream(raw)
	if err != nil {
		return nil, nil, err
	}
	if err := d.check(e, schema, recs); err != nil {
		release(recs)
		return nil, nil, err
	}
	for i, rec := range recs {
		recs[i] = array.NewRecordBatch(d.schema, rec.Columns(), rec.NumRows())
		rec.Release()
	}
	return d.schema, recs, nil
}

// check compares content and header and leaves the schema in d.schema.
func (d *Decoder) check(e Entry, schema *arrow.Schema, recs []arrow.RecordBatch) error {
	if d.schema == nil || !d.schema.Equal(schema) {
		d.schema, d.print = schema, Fingerprint(schema)
	}
	if e.Schema != d.print {
		return fmt.Errorf("header %s is %q, the payload's schema has %q", headerSchema, e.Schema, d.print)
	}
	rows := int64(0)
	for _, rec := range recs {
		rows += rec.NumRows()
	}
	if rows != int64(e.Rows) {
		return fmt.Errorf("header %s is %d, the payload has %d rows", headerRows, e.Rows, rows)
	}
	return nil
}

// unpack returns the payload without compression, in a buffer that Arrow can read in
// place.
func (d *Decoder) unpack(e Entry) (*memory.Buffer, error) {
	switch e.Codec {
	case None:
		if len(e.Payload) > d.Limit {
			return nil, d.tooMuch(uint64(len(e.Payload)))
		}
		return memory.NewBufferBytes(aligned(e.Payload)), nil
	case S2:
		size, err := s2.DecodedLen(e.Payload)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		return d.into(uint64(size), func(dst []byte) ([]byte, error) { return s2.Decode(dst, e.Payload) })
	case Zstd:
		var frame zstd.Header
		if err := frame.Decode(e.Payload); err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		if !frame.HasFCS {
			return nil, errors.New("decompress: the zstd frame does not tell its size")
		}
		if d.zstd == nil {
			z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
				zstd.WithDecoderMaxMemory(uint64(max(d.Limit, 1))), zstd.WithDecodeAllCapLimit(true))
			if err != nil {
				return nil, fmt.Errorf("start zstd: %w", err)
			}
			d.zstd = z
		}
		return d.into(frame.FrameContentSize, func(dst []byte) ([]byte, error) { return d.zstd.DecodeAll(e.Payload, dst[:0]) })
	default:
		return nil, fmt.Errorf("codec %q is not known", e.Codec)
	}
}

// into decompresses into a buffer of exactly the size that the payload announces.
func (d *Decoder) into(size uint64, decompress func(dst []byte) ([]byte, error)) (*memory.Buffer, error) {
	if size > uint64(d.Limit) {
		return nil, d.tooMuch(size)
	}
	buf := memory.NewResizableBuffer(d.mem)
	buf.Resize(int(size))
	got, err := decompress(buf.Bytes())
	if err == nil && len(got) != int(size) {
		err = fmt.Errorf("got %d bytes where %d were announced", len(got), size)
	}
	if err != nil {
		buf.Release()
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return buf, nil
}

func (d *Decoder) tooMuch(size uint64) error {
	return fmt.Errorf("the payload holds %d bytes of Arrow data, the limit is %d", size, d.Limit)
}
