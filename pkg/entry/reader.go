package entry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/arrowguard"
)

// readStream reads a whole Arrow IPC stream in place: the batches point into
// buf and keep it. Nothing may follow the end of the stream, and it must be there.
func readStream(buf *memory.Buffer) (schema *arrow.Schema, recs []arrow.RecordBatch, err error) {
	messages := &messages{buf: buf, rest: buf.Bytes()}
	r, err := arrowguard.NewReader(messages)
	if err != nil {
		return nil, nil, fmt.Errorf("read Arrow stream: %w", err)
	}
	defer r.Release()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) && len(messages.rest) > 0 {
			err = fmt.Errorf("%d bytes follow its end", len(messages.rest))
		}
		switch {
		case err == nil:
			rec.Retain()
			recs = append(recs, rec)
		case errors.Is(err, io.EOF):
			return r.Schema(), recs, nil
		default:
			release(recs)
			return nil, nil, fmt.Errorf("read Arrow stream: %w", err)
		}
	}
}

// messages returns the messages of a stream in memory without copying.
type messages struct {
	buf  *memory.Buffer
	rest []byte
}

// errCut hides io.EOF on purpose: a stream has to mark its end.
var errCut = errors.New("the stream is cut off")

// Next returns the next message, or io.EOF.
func (m *messages) Next() ([]byte, *memory.Buffer, error) {
	if len(m.rest) < len(endOfStream) {
		return nil, nil, errCut
	}
	if bytes.HasPrefix(m.rest, endOfStream) {
		m.rest = m.rest[len(endOfStream):]
		return nil, nil, io.EOF
	}
	if !bytes.HasPrefix(m.rest, endOfStream[:4]) {
		return nil, nil, errors.New("a message does not begin with the continuation mark")
	}
	size := uint64(binary.LittleEndian.Uint32(m.rest[4:]))
	m.rest = m.rest[8:]
	if size > uint64(len(m.rest)) {
		return nil, nil, errCut
	}
	metadata := m.rest[:size:size]
	m.rest = m.rest[size:]
	bodySize, err := arrowguard.BodySize(metadata)
	if err != nil {
		return nil, nil, err
	}
	if bodySize > uint64(len(m.rest)) {
		return nil, nil, errCut
	}
	body := memory.SliceBuffer(m.buf, m.buf.Len()-len(m.rest), int(bodySize))
	m.rest = m.rest[bodySize:]
	return metadata, body, nil
}

// aligned returns b at an address that Arrow's 64-bit values may have. The
// payload of a message may begin anywhere in the buffer it was received in.
func aligned(b []byte) []byte {
	if uintptr(unsafe.Pointer(unsafe.SliceData(b)))%8 == 0 {
		return b
	}
	return bytes.Clone(b)
}
