package entry

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

const (
	// worthwhile is the least ratio for which a payload is stored compressed.
	worthwhile = 1.2
	// resample is how many entries are stored as they are after one that did
	// not compress, before compression is tried again: the blocks of a chain's
	// first years look different from today's.
	resample = 64
	// sampleSize is the least payload that says anything about the next ones.
	sampleSize = 16 << 10
)

// Encoder turns record batches into entries. It has buffers of its own, unless it shares
// them: see [Encoder.Share]. It is not safe for concurrent use.
type Encoder struct {
	codec   Codec
	limit   int
	print   string
	stream  streamWriter
	zstd    *zstd.Encoder
	buffers *Buffers
	skip    int // entries left to store without trying to compress
}

// TooLargeError is an entry whose payload does not fit a message. [Cutter] cuts such
// entries smaller, as a caller of [Encoder.Encode] may.
type TooLargeError struct {
	Size  int // bytes of the payload, compressed
	Limit int // bytes it may have
}

// Error returns both sizes.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the entry takes %d bytes, a message holds %d", e.Size, e.Limit)
}

// NewEncoder returns an encoder for one schema. limit is the most bytes a payload
// may have, compressed; the queue knows it.
func NewEncoder(schema *arrow.Schema, codec Codec, limit int) (*Encoder, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("limit of a payload is %d bytes, want more than 0", limit)
	}
	e := &Encoder{codec: codec, limit: limit, print: Fingerprint(schema), buffers: NewBuffers(1)}
	switch codec {
	case None, S2:
	case Zstd:
		z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithSingleSegment(true)) // the frame then always has its size
		if err != nil {
			return nil, fmt.Errorf("start zstd: %w", err)
		}
		e.zstd = z
	default:
		return nil, fmt.Errorf("codec is %q, want none, s2 or zstd", codec)
	}
	if err := e.stream.open(schema); err != nil {
		return nil, err
	}
	return e, nil
}

// Encode returns a data entry with the rows of recs, which have the encoder's
// schema (metadata aside); there may be none. Kind, Codec, Rows and Schema of
// the header are filled in, the rest is taken from h. recs are borrowed, the
// entry's payload is the caller's, who may give it back by [Encoder.Reuse]. A payload over
// the limit is a *[TooLargeError].
func (e *Encoder) Encode(h Header, recs []arrow.RecordBatch) (Entry, error) {
	return e.encode(h, recs, io.Discard)
}

// encode also writes the payload to stored as it is before compression, unless that is
// over the limit.
func (e *Encoder) encode(h Header, recs []arrow.RecordBatch, stored io.Writer) (Entry, error) {
	b := e.buffers.take()
	defer e.buffers.put(b)
	raw, err := e.stream.write(&b.stream, recs)
	if err != nil {
		return Entry{}, fmt.Errorf("encode blocks %v: %w", h.Range, err)
	}
	payload, codec := e.compress(raw, b)
	if len(payload) > e.limit {
		return Entry{}, &TooLargeError{Size: len(payload), Limit: e.limit}
	}
	if _, err := stored.Write(raw); err != nil {
		return Entry{}, err
	}
	h.Kind, h.Codec, h.Schema, h.Rows = Data, codec, e.print, 0
	for _, rec := range recs {
		h.Rows += int(rec.NumRows())
	}
	return Entry{Header: h, Payload: e.buffers.payload(payload)}, nil
}

// compress returns the payload and the codec it really has. The result is valid
// until the next call. One rule is deliberately not followed: a payload that
// did not compress is not the reason to refuse one that fits only compressed,
// so an oversized payload is always tried.
func (e *Encoder) compress(raw []byte, b *buffers) ([]byte, Codec) {
	if e.codec == None || (e.skip > 0 && len(raw) <= e.limit) {
		e.skip = max(0, e.skip-1)
		return raw, None
	}
	switch e.codec {
	case S2:
		b.packed = s2.EncodeSnappy(slices.Grow(b.packed[:0], s2.MaxEncodedLen(len(raw))), raw)
	case Zstd:
		b.packed = e.zstd.EncodeAll(raw, b.packed[:0])
	}
	if float64(len(raw)) >= worthwhile*float64(len(b.packed)) {
		return b.packed, e.codec
	}
	if len(raw) >= sampleSize {
		e.skip = resample
	}
	return raw, None
}

var errSchema = errors.New("the rows do not have the schema they were announced with")
